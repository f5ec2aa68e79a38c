"""Command `archsim import`, which makes a network folder of somebody's file of weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archsim.cli.options import NamedPath

if TYPE_CHECKING:
    from rich.table import Table

    from archsim.importers.table import ImportTable
    from archsim.importers.weight_files import Imported
    from archsim.inference.output_check import KnownOutputs
    from archsim.ir.network import Network


@click.command(name="import")
@click.argument("file", type=NamedPath())
@click.option("--output", "-o", type=NamedPath(), required=True, help="Network folder to make; new or empty.")
@click.option(
    "--prefix",
    "prefixes",
    multiple=True,
    help="Names before those of the recurrent tensors; repeated, the parts are stacked in this order.",
)
@click.option(
    "--cell",
    help="Cell: lstm, gru, rnn, rnn-relu, gru-reset-before, lstm-hard-sigmoid-fifth, ...  [default: lstm, gru or rnn "
    "by the shapes; a Keras GRU with one bias per gate resets before]",
)
@click.option(
    "--gate-order",
    type=click.Choice(["torch", "onnx", "keras"]),
    help="Order of the gates.  [default: that of the framework whose names the tensors have]",
)
@click.option("--name", help="Name of the network.  [default: that of the folder]")
@click.option(
    "--check",
    type=NamedPath(),
    nargs=2,
    metavar="X.npz Y.npz",
    help="Inputs, and outputs of every step to compare with; where they differ nothing is written.",
)
def import_file(
    file: Path,
    output: Path,
    prefixes: tuple[str, ...],
    cell: str | None,
    gate_order: str | None,
    name: str | None,
    check: tuple[Path, Path] | None,
) -> None:
    """Make a network folder of a file of weights: .safetensors, .npz, .pt (weights only), .onnx.

    It takes a whole model's file, too: the recurrent part is found by the names of torch or Keras. What is not
    recurrent is left out and listed. A wrong gate order changes no shape, so --check compares with outputs you have.

    \b
    archsim import model.safetensors -o my-network
    archsim import checkpoint.pt -o my-network --prefix encoder.rnn
    archsim import weights.npz -o my-network --gate-order keras --check x.npz y.npz
    """
    from archsim.cli.console import output_console, say
    from archsim.files import check_new_folder
    from archsim.importers.files import import_file
    from archsim.inference.output_check import read_known_outputs
    from archsim.ir.saving import save_network

    check_new_folder(output)
    known = read_known_outputs(*check) if check else None

    def imported_as(cell: str | None = cell, order: str | None = gate_order) -> Imported:
        return import_file(file, prefixes=prefixes, cell=cell, gate_order=order, name=name or output.resolve().name)

    imported = imported_as()
    output_console().show(_table(imported.table))
    if known is not None:
        say(_checked(known, imported, imported_as))
    save_network(imported.network, output)
    say(f"network folder: {output}; archsim run --network {output} --trace TRACE --threshold 0.3")


ImportedAs = Callable[..., "Imported"]
"""Function that reads the file as asked for, or with another `cell` or `order`."""


def _checked(known: KnownOutputs, imported: Imported, imported_as: ImportedAs) -> str:
    """Return a sentence on outputs that agree; NetworkError says which gate order or cell fits where they do not."""
    from archsim.errors import NetworkError

    difference = known.difference(imported.network)
    figures = f"largest difference {difference:.2g}, outputs reach {known.largest:.2g}"
    if known.fits(difference):
        return f"check passed: {figures}"
    wrong = f"check failed: {figures}; nothing was written"
    orders = _other_orders(known, imported.gate_order, imported_as)
    cells = _other_cells(known, imported.network, imported_as)
    for what, option, tried in (("Gate order", "--gate-order", orders), ("Cell", "--cell", cells)):
        for name, other in tried.items():
            if known.fits(other):
                raise NetworkError(f"{wrong}. {what} {name} fits: largest difference {other:.2g}: {option} {name}")
    others = ", ".join(f"{name} {other:.2g}" for name, other in (orders | cells).items()) or "none suits the shapes"
    raise NetworkError(
        f"{wrong}. No other gate order and no other cell fits ({others}): "
        "are these the outputs of this layer at every step?"
    )


def _other_orders(known: KnownOutputs, used: str, imported_as: ImportedAs) -> dict[str, float]:
    """Return the largest difference by gate order, for the others whose shapes suit."""
    from archsim.errors import NetworkError
    from archsim.ir.gate_orders import GATE_ORDERS

    tried = {}
    for order in GATE_ORDERS:
        if order != used:
            try:
                tried[order] = known.difference(imported_as(order=order).network)
            except NetworkError:  # the shapes are those of another layout
                continue
    return tried


def _other_cells(known: KnownOutputs, used: Network, imported_as: ImportedAs) -> dict[str, float]:
    """Return the largest difference by cell, for the others whose shapes suit, as those of other activations."""
    from archsim.errors import NetworkError
    from archsim.ir.cells import CELLS

    tried = {}
    for name in CELLS:
        if name != used.layers[0].cell.name:
            try:
                tried[name] = known.difference(imported_as(cell=name).network)
            except NetworkError:  # of other gates, or outputs that grow beyond all bounds
                continue
    return tried


def _table(imported: ImportTable) -> Table:
    """Return what became of each part, for the console."""
    from rich import box
    from rich.table import Table

    from archsim.importers.table import COLUMNS

    table = Table(title=imported.source, box=box.SIMPLE_HEAD, title_justify="left")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in imported.rows:
        style = {"simulated here": "bold", "left outside": "dim"}.get(row.outcome)
        table.add_row(*row.cells, style=style)
    return table
