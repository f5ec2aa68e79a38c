"""`archsim calibrate`: find θ on a calibration trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from archsim.calibration import Calibration, Point


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
    limit: int | None,
    save: bool,
) -> None:
    """Find the largest θ whose loss of the task metric stays within a bound.

    Never calibrate on the data you report results on.

    \b
    archsim calibrate --network imdb-lstm --trace imdb-valid --max-loss 1
    archsim calibrate -n imdb-lstm -t imdb-valid --max-loss 1 --max-loss 2 --max-loss 3 --margin 1
    archsim calibrate -n my-network -t my-validation.npz --policy oracle --save
    """
    from archsim.calibration import calibrate_threshold
    from archsim.cli.console import output_console
    from archsim.corpora.catalogue import load_trace
    from archsim.files import check_writable
    from archsim.ir.folder import MANIFEST, load_network, network_folder, save_calibration
    from archsim.policies import goes_by_columns, policy_from

    if save:
        check_writable(network_folder(network) / MANIFEST)
    avoided = "MACs avoided" if goes_by_columns(policy_from(policy)) else "reuse"
    calibration = calibrate_threshold(
        load_network(network),
        load_trace(trace).limit(limit),
        policy,
        max_losses=max_losses,
        margin=margin,
        highest=highest,
        resolution=resolution,
        tick=lambda point: _report(avoided, point),
    )
    console = output_console()
    console.print(_table(f"{network} on {trace}, policy {policy}", avoided, calibration))
    console.print(f"{calibration.metric} without reuse: {calibration.metric_baseline:.2f}")
    for max_loss, point in calibration.chosen.items():
        safely = f", {margin:g} standard errors included" if margin else ""
        console.print(f"largest θ that loses at most {max_loss:g} points{safely}: {point.threshold:g}")
    if save:
        save_calibration(network_folder(network), policy, calibration.evidence)


def _report(avoided: str, point: Point) -> None:
    from archsim.cli.console import percent

    loss = f"loss {point.metric_loss:.2f} [{point.metric_loss_low:.2f}, {point.metric_loss_high:.2f}]"
    click.echo(f"θ {point.threshold:g}: {avoided} {percent(point.reuse_fraction)}, {loss}", err=True)


def _table(title: str, avoided: str, calibration: Calibration) -> Table:
    from rich import box
    from rich.table import Table

    from archsim.cli.console import percent

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("θ", avoided, calibration.metric, "loss in points", "95 % interval"):
        table.add_column(column, justify="right")
    for p in calibration.points:
        interval = f"{p.metric_loss_low:.2f} to {p.metric_loss_high:.2f}"
        cells = (
            f"{p.threshold:g}",
            percent(p.reuse_fraction),
            f"{p.metric_value:.2f}",
            f"{p.metric_loss:.2f}",
            interval,
        )
        table.add_row(*cells, style="bold" if p in calibration.chosen.values() else None)
    return table
