"""Command `archsim calibrate`, which finds θ on a calibration trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from archsim.calibration import Calibration, Point
    from archsim.ir.manifest import Per


@click.command()
@click.option("--network", "-n", required=True, help="Bundled network or network folder.")
@click.option("--trace", "-t", required=True, help="Labelled trace of training or validation data.")
@click.option(
    "--max-loss",
    "max_losses",
    type=float,
    multiple=True,
    default=(1.0,),
    show_default=True,
    help="Largest loss in points of the metric; may be repeated.",
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
    "--scales-only", is_flag=True, help="Only measure the magnitudes of inputs, which ternary and lowbit need."
)
@click.option("--save", is_flag=True, help="Write θ for the smallest bound and its evidence into network.toml.")
@click.option("--force", is_flag=True, help="Allow --save to change a bundled network.")
def calibrate(
    network: str,
    trace: str,
    max_losses: tuple[float, ...],
    policy: str,
    margin: float,
    highest: float,
    resolution: float,
    per: Per,
    passes: int,
    limit: int | None,
    scales_only: bool,
    save: bool,
    force: bool,
) -> None:
    """Find the largest θ whose loss of the task metric stays within a bound.

    Do not calibrate on the data on which you report results.

    \b
    archsim calibrate --network imdb-lstm --trace imdb-valid --max-loss 1
    archsim calibrate -n imdb-lstm -t imdb-valid --max-loss 1 --max-loss 2 --max-loss 3 --margin 1
    archsim calibrate -n my-network -t my-validation.npz --policy oracle --save
    archsim calibrate -n ds2-gru -t fsdd-valid --max-loss 1 --margin 1 --per kind
    archsim calibrate -n my-network -t my-inputs.npz --scales-only --save     needs no labels and no metric
    """
    from archsim.calibration import calibrate_threshold, check_search, with_scales
    from archsim.cli.console import output_console, say
    from archsim.cli.show import scales_table
    from archsim.corpora.catalogue import load_trace
    from archsim.errors import ConfigError
    from archsim.ir.folder import load_network, network_folder
    from archsim.ir.saving import check_saving, save_calibration, save_scales
    from archsim.policies import declaration, kind_of

    if force and not save:
        raise ConfigError("--force: there is nothing to force without --save")
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
    searched = check_search(policy, max_losses, margin, highest, resolution, per, passes)
    avoided = kind_of(searched).avoided
    evidence, quantises = None, declaration(searched).needs_scales
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
    output_console().show(_table(f"{network} on {trace}, policy {policy}", avoided, calibration))
    say(f"{calibration.metric} without reuse: {calibration.metric_baseline:.2f}")
    for max_loss in calibration.chosen:
        say(_chosen(calibration, max_loss, margin, resolution, per, avoided))
    if calibration.cut_short:
        say(f"stopped after {passes} passes before the search was done: see --passes", err=True)
    if saved:
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
