"""`archsim calibrate`: the threshold for an accuracy one is willing to lose."""

from __future__ import annotations

import click


@click.command()
@click.option("--network", "-n", required=True, help="Bundled network or network folder.")
@click.option("--trace", "-t", required=True, help="Labelled training or validation data; never the test set.")
@click.option("--max-loss", type=float, default=1.0, show_default=True, help="Points of the metric that may be lost.")
@click.option("--policy", "-p", default="bnn", show_default=True, help="Reuse policy.")
@click.option("--limit", type=int, help="Use only the first so many sequences.")
def calibrate(network: str, trace: str, max_loss: float, policy: str, limit: int | None) -> None:
    """Find the largest threshold whose loss on a calibration trace stays within bounds.

    \b
    archsim calibrate --network imdb-lstm --trace imdb-valid --max-loss 1
    """
    from rich import box
    from rich.table import Table

    from archsim.calibration import Point, calibrate_threshold
    from archsim.cli.console import output_console, percent
    from archsim.ir.folder import load_network
    from archsim.traceio.catalogue import load_trace

    def report(point: Point) -> None:
        found = f"reuse {percent(point.reuse_fraction)}, loss {point.metric_loss:.2f}"
        click.echo(f"θ {point.threshold:g}: {found}", err=True)

    calibration = calibrate_threshold(
        load_network(network), load_trace(trace).limit(limit), policy, max_loss=max_loss, tick=report
    )
    table = Table(title=f"{network} on {trace}, policy {policy}", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("θ", "reuse", "metric", "loss in points"):
        table.add_column(column, justify="right")
    for p in calibration.points:
        chosen = p.threshold == calibration.threshold
        cells = (f"{p.threshold:g}", percent(p.reuse_fraction), f"{p.metric_value:.2f}", f"{p.metric_loss:.2f}")
        table.add_row(*cells, style="bold" if chosen else None)
    console = output_console()
    console.print(table)
    console.print(f"without reuse: {calibration.metric_baseline:.2f}")
    console.print(
        f"largest θ that loses at most {max_loss:g} points: {calibration.threshold:g}  (archsim run --threshold)"
    )
