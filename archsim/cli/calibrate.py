"""`archsim calibrate`: find θ on a calibration trace."""

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
    help="Points of the metric that may be lost; may be given several times.",
)
@click.option("--policy", "-p", default="bnn", show_default=True, help="Policy whose θ is sought.")
@click.option(
    "--margin", type=float, default=0.0, show_default=True, help="Standard errors a loss must stay below the bound."
)
@click.option("--highest", type=float, default=4.0, show_default=True, help="Largest θ to try.")
@click.option("--resolution", type=float, default=0.01, show_default=True, help="Step of the grid of θ.")
@click.option(
    "--per",
    type=click.Choice(["network", "layer", "gate", "kind"]),
    default="network",
    show_default=True,
    help="What has a θ of its own: a layer, each of its gates, or a kind of gate in all layers alike.",
)
@click.option("--passes", type=int, default=200, show_default=True, help="Most passes over the trace to go on for.")
@click.option("--limit", type=int, help="Use only the first so many sequences.")
@click.option("--save", is_flag=True, help="Write θ for the smallest bound, and the evidence, into network.toml.")
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
    save: bool,
) -> None:
    """Find the largest θ whose loss of the task metric stays within a bound.

    Never calibrate on the data you report results on.

    \b
    archsim calibrate --network imdb-lstm --trace imdb-valid --max-loss 1
    archsim calibrate -n imdb-lstm -t imdb-valid --max-loss 1 --max-loss 2 --max-loss 3 --margin 1
    archsim calibrate -n my-network -t my-validation.npz --policy oracle --save
    archsim calibrate -n ds2-gru -t fsdd-valid --max-loss 1 --margin 1 --per kind
    """
    from archsim.calibration import calibrate_threshold, with_scales
    from archsim.cli.console import output_console, percent, theta_text
    from archsim.corpora.catalogue import load_trace
    from archsim.files import check_writable
    from archsim.ir.folder import MANIFEST, load_network, network_folder
    from archsim.ir.saving import save_calibration, save_scales
    from archsim.policies import goes_by_columns, policy_from

    if save:
        check_writable(network_folder(network) / MANIFEST)
    sought = policy_from(policy)
    avoided = "MACs avoided" if goes_by_columns(sought) else "reuse"
    loaded, inputs = load_network(network), load_trace(trace).limit(limit)
    evidence = None
    if loaded.scales is None and getattr(sought, "needs_scales", False):
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
        tick=lambda point: _report(avoided, point),
    )
    console = output_console()
    console.print(_table(f"{network} on {trace}, policy {policy}", avoided, calibration))
    console.print(f"{calibration.metric} without reuse: {calibration.metric_baseline:.2f}")
    safely = f", {margin:g} standard errors included" if margin else ""
    for max_loss, point in calibration.chosen.items():
        within = f"that loses at most {max_loss:g} points{safely}"
        if per == "network":
            console.print(f"largest θ {within}: {point.threshold:g}")
        else:
            one = calibration.uniform[max_loss]
            gained = f"{avoided} {percent(point.reuse_fraction)}, {percent(one.reuse_fraction)} with one θ"
            console.print(f"most reuse {within}, a θ a {per}: {theta_text(point.threshold)} ({gained})")
    if calibration.cut_short:
        click.echo(f"stopped after {passes} passes, more are to be tried: see --passes", err=True)
    if save:
        save_calibration(network_folder(network), policy_from(policy).name, calibration.evidence)
    if save and evidence is not None:
        save_scales(network_folder(network), evidence)


def _report(avoided: str, point: Point) -> None:
    from archsim.cli.console import percent, theta_text

    loss = f"loss {point.metric_loss:.2f} [{point.metric_loss_low:.2f}, {point.metric_loss_high:.2f}]"
    click.echo(f"θ {theta_text(point.threshold)}: {avoided} {percent(point.reuse_fraction)}, {loss}", err=True)


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
