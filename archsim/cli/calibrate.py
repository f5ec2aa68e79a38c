"""Command `archsim calibrate`, which finds θ on a calibration trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsim.cli.options import NamedPath, plugin_option
from archsim.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from archsim.calibration import Calibration, Point
    from archsim.ir.manifest import Per
    from archsim.ir.network import Network
    from archsim.traceio.trace import Trace


@click.command()
@click.option("--network", "-n", required=True, help="Bundled network or network folder.")
@click.option("--trace", "-t", required=True, help="Labelled trace of training or validation data.")
@click.option(
    "--max-loss",
    "max_losses",
    type=float,
    multiple=True,
    help="Largest loss in points of the metric; may be repeated.  [default: 1]",
)
@click.option(
    "--max-change",
    type=float,
    help="Largest change of the outputs as a fraction, instead of a loss: for networks without a metric or labels.",
)
@click.option("--policy", "-p", default="bnn", show_default=True, help="Policy for which θ is searched.")
@click.option(
    "--margin",
    type=float,
    default=0.0,
    show_default=True,
    help="Standard errors by which a loss must stay below the bound.",
)
@click.option("--highest", type=float, default=4.0, show_default=True, help="Largest θ to try.")
@click.option("--resolution", type=float, default=0.01, show_default=True, help="Step of the grid of θ.")
@click.option(
    "--per",
    type=click.Choice(["network", "layer", "gate", "kind"]),
    default="network",
    show_default=True,
    help="Scope of one θ: the network, a layer, a gate of a layer, or a kind of gate in all layers.",
)
@click.option("--passes", type=int, default=200, show_default=True, help="Largest number of runs over the trace.")
@click.option("--limit", type=int, help="Use only the first so many sequences.")
@click.option(
    "--scales-only",
    is_flag=True,
    help="Only measure inputs: magnitudes for ternary and lowbit, means for bnn:centre=on.",
)
@click.option("--log", type=NamedPath(), help="Write every θ tried with its loss or change to a CSV file.")
@click.option("--save", is_flag=True, help="Write θ for the smallest bound and its evidence into network.toml.")
@click.option("--force", is_flag=True, help="Allow --save to change a bundled network.")
@plugin_option
def calibrate(
    network: str,
    trace: str,
    max_losses: tuple[float, ...],
    max_change: float | None,
    policy: str,
    margin: float,
    highest: float,
    resolution: float,
    per: Per,
    passes: int,
    limit: int | None,
    scales_only: bool,
    log: Path | None,
    save: bool,
    force: bool,
) -> None:
    """Find the largest θ whose loss of the task metric, or change of the outputs, stays within a bound.

    Do not calibrate on the data on which you report results.

    \b
    archsim calibrate --network imdb-lstm --trace imdb-valid --max-loss 1
    archsim calibrate -n imdb-lstm -t imdb-valid --max-loss 1 --max-loss 2 --max-loss 3 --margin 1
    archsim calibrate -n my-network -t my-validation.npz --policy oracle --save
    archsim calibrate -n ds2-gru -t fsdd-valid --max-loss 1 --margin 1 --per kind
    archsim calibrate -n my-network -t my-inputs.npz --max-change 0.05        needs no labels and no metric
    archsim calibrate -n my-network -t my-inputs.npz --scales-only --save     needs no labels and no metric
    """
    from archsim.calibration import calibrate_threshold, check_search, with_scales, write_log
    from archsim.cli.console import output_console, say
    from archsim.cli.outputs import check_outputs, input_files
    from archsim.cli.show import scales_table
    from archsim.corpora.catalogue import load_trace
    from archsim.ir.folder import load_network, network_folder
    from archsim.ir.saving import check_saving, save_calibration, save_scales
    from archsim.policies import declaration, kind_of

    if force and not save:
        raise ConfigError("--force: there is nothing to force without --save")
    if max_change is not None and (max_losses or per != "network" or scales_only):
        raise ConfigError(
            "--max-change finds one θ for the network: need it without --max-loss, --per or --scales-only"
        )
    if log is not None:
        check_outputs({"--log": log}, input_files(network, trace, "epur"))
    folder = network_folder(network)
    if save:
        check_saving(folder, force=force)
    loaded, inputs = load_network(network), load_trace(trace).limit(limit)
    if scales_only:
        _, scales = with_scales(loaded, inputs)
        saved = save_scales(folder, scales, force=force) if save else None
        output_console().show(scales_table(loaded, scales))
        say(f"saved in {saved}" if saved else "not saved: --save writes them into network.toml")
        return
    if max_change is not None:
        search = {"policy": policy, "margin": margin, "highest": highest, "resolution": resolution}
        _by_change(folder, loaded, inputs, max_change, search, log=log, save=save, force=force)
        return
    max_losses = max_losses or (1.0,)
    searched = check_search(policy, max_losses, margin, highest, resolution, per, passes)
    avoided = kind_of(searched).avoided
    evidence, quantises = None, declaration(searched).needs_measures
    if quantises and loaded.metric is None:
        missing = f"network {loaded.name} names no metric, which θ is calibrated by"
        raise ConfigError(f"{missing}: --scales-only measures its scales without one")
    if quantises and loaded.scales is None:
        loaded, evidence = with_scales(loaded, inputs)
    calibration = calibrate_threshold(
        loaded,
        inputs,
        policy,
        max_losses=max_losses,
        margin=margin,
        highest=highest,
        resolution=resolution,
        per=per,
        passes=passes,
        on_point=lambda point: _report(avoided, point),
    )
    saved = save_calibration(folder, searched.name, calibration.evidence, evidence, force=force) if save else None
    if log is not None:
        write_log(calibration.log, log)
    output_console().show(_table(f"{network} on {trace}, policy {policy}", avoided, calibration))
    say(f"{calibration.metric} without reuse: {calibration.metric_baseline:.2f}")
    for max_loss in calibration.chosen:
        say(_chosen(calibration, max_loss, margin, resolution, per, avoided))
    if calibration.cut_short:
        say(f"stopped after {passes} passes before the search was done: see --passes", err=True)
    if saved:
        say(f"saved in {saved}")


def _by_change(
    folder: Path,
    network: Network,
    trace: Trace,
    max_change: float,
    search: dict[str, Any],
    *,
    log: Path | None,
    save: bool,
    force: bool,
) -> None:
    """Find θ by the change of the outputs; print every θ tried, and save the chosen one if asked to."""
    from archsim.calibration.network import calibrate_network, change_evidence
    from archsim.calibration.theta_search import theta_search
    from archsim.cli.console import percent, say
    from archsim.config.precision import FP16
    from archsim.inference.policy_parameters import lacks_measures
    from archsim.ir.saving import save_calibration
    from archsim.policies import declaration, kind_of, policy_from

    policy = policy_from(search["policy"])
    if save and lacks_measures(network, policy, FP16.name):
        what = "scales" if declaration(policy).needs_scales else "means of inputs"
        raise ConfigError(f"policy {policy.name!r} needs {what}: --scales-only --save measures them first")
    avoided = kind_of(policy).avoided

    def told(record: dict[str, Any]) -> str:
        reuse, change = percent(record["reuse_fraction"]), percent(record["output_change"], 2)
        return f"θ {record['threshold']:g}: {avoided} {reuse}, outputs change by {change}"

    choices = theta_search(
        **search, max_change=max_change, log=log, progress=False, on_trial=lambda record: say(told(record), err=True)
    )
    theta = calibrate_network(network, trace, choices)
    chosen = next(record for record in theta.tried if record["threshold"] == float(theta))
    within = f"changes the outputs by at most {percent(max_change, 2)}"
    end = " (the search ended there: a larger one may do, go on with --highest)" if theta.reached_end else ""
    say(f"{told(chosen)}: the largest θ that {within}{end}")
    if save:
        saved = save_calibration(folder, policy.name, change_evidence(theta, trace, choices.precision), force=force)
        say(f"saved in {saved}")


def _chosen(calibration: Calibration, max_loss: float, margin: float, resolution: float, per: Per, avoided: str) -> str:
    """Return a sentence on the θ chosen for a bound; say so if the search ended before the bound was reached."""
    from archsim.cli.console import percent, theta_text

    point, uniform = calibration.chosen[max_loss], calibration.uniform[max_loss]
    within = f"loses at most {max_loss:g} points" + (f", {margin:g} standard errors included" if margin else "")
    ended = calibration.reached_end(max_loss)
    hint = f"the search ended at θ = {calibration.highest:g}, a larger θ may fit: go on with --highest"
    if per != "network":
        gained = f"{avoided} {percent(point.reuse_fraction)}, {percent(uniform.reuse_fraction)} with one θ"
        text = f"most reuse that {within}, one θ per {per}: {theta_text(point.threshold)} ({gained})"
        return f"{text}; {hint}" if ended else text
    if ended:
        return f"every θ tried {within}; {hint}"
    if point.threshold == 0:
        return f"only θ = 0 {within}: {resolution:g} loses more, try a smaller --resolution"
    return f"largest θ that {within}: {point.threshold:g}"


def _report(avoided: str, point: Point) -> None:
    from archsim.cli.console import percent, say, theta_text

    loss = f"loss {point.metric_loss:.2f} [{point.metric_loss_low:.2f}, {point.metric_loss_high:.2f}]"
    say(f"θ {theta_text(point.threshold)}: {avoided} {percent(point.reuse_fraction)}, {loss}", err=True)


def _table(title: str, avoided: str, calibration: Calibration) -> Table:
    from rich import box
    from rich.table import Table

    from archsim.cli.console import percent, theta_text

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("θ", avoided, calibration.metric, "loss in points", "95 % interval"):
        table.add_column(column, justify="right")
    chosen = calibration.chosen.values()
    for p in (point for point in calibration.points if isinstance(point.threshold, float) or point in chosen):
        interval = f"{p.metric_loss_low:.2f} to {p.metric_loss_high:.2f}"
        cells = (
            theta_text(p.threshold),
            percent(p.reuse_fraction),
            f"{p.metric_value:.2f}",
            f"{p.metric_loss:.2f}",
            interval,
        )
        table.add_row(*cells, style="bold" if p in chosen else None)
    return table
