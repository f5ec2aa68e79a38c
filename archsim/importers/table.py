"""Table of an import: what became of each module, node or tensor of a model, all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["simulated here", "left outside", "refused"]
COLUMNS = ("part", "kind", "outcome", "note")


@dataclass(frozen=True)
class ImportRow:
    """Part of a model and what became of it."""

    part: str
    """Name of a module, node or tensor; several of one kind may share a row."""
    kind: str
    """Class of the module or operator of the node, e.g. `LSTM`."""
    outcome: Outcome
    note: str = ""
    """Sizes of what is simulated, or the reason of what is refused."""

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Cells of the row, in the order of `COLUMNS`."""
        return self.part, self.kind, self.outcome, self.note


@dataclass(frozen=True)
class ImportTable:
    """All parts of a model, in its order; `print` shows it."""

    source: str
    """Name of the file or class that was imported."""
    rows: tuple[ImportRow, ...]

    @property
    def simulated(self) -> list[ImportRow]:
        """Rows of the parts that are simulated here."""
        return [row for row in self.rows if row.outcome == "simulated here"]

    @property
    def refused(self) -> list[ImportRow]:
        """Rows of the parts that are refused."""
        return [row for row in self.rows if row.outcome == "refused"]

    def __str__(self) -> str:
        lines = [COLUMNS, *(row.cells for row in self.rows)]
        widths = [max(len(cells[i]) for cells in lines) for i in range(len(COLUMNS))]
        return "\n".join([self.source, *(_aligned(cells, widths) for cells in lines)])


def listed(rows: Iterable[ImportRow]) -> str:
    """Return rows as part of a message: each name, kind and note."""
    return "; ".join(f"{row.part} ({row.kind}): {row.note}" for row in rows)


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
