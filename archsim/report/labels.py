"""Names of columns as people read them, with units, and the factor that brings a value to the unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


FIELD_DIGITS = 9
"""Of fields of the machine, which are as they were set."""


@dataclass(frozen=True)
class Label:
    """What an axis or table column says of a column of results."""

    text: str
    unit: str = ""
    factor: float = 1.0
    digits: int = 3
    """Significant ones in a table."""

    @property
    def axis(self) -> str:
        """`text (unit)`."""
        return f"{self.text} ({self.unit})" if self.unit else self.text

    def scaled(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Values in the unit."""
        return values.astype(float) * self.factor

    def number(self, value: float | str | None) -> str:
        """One value in the unit, for a table; a dash where there is none; a text (θ by layer or gate) as it is."""
        if isinstance(value, str):
            return value
        if value is None or value != value:
            return "–"
        text = f"{value * self.factor:.{self.digits}g}"
        return f"{float(text) + 0.0:.0f}" if "e+" in text or float(text) == 0 else text  # + 0.0: no -0

    def shown(self, value: float | None) -> str:
        """One value with its unit."""
        return self.number(value) + {"": "", "x": "x"}.get(self.unit, f" {self.unit}")


LABELS = {
    "threshold": Label("threshold θ"),
    "max_loss": Label("loss allowed on calibration data", "points"),
    "reuse_fraction": Label("computation reuse", "%", 100),
    "macs_avoided_fraction": Label("multiply-accumulates avoided", "%", 100),
    "metric_loss": Label("loss of the metric", "points"),
    "output_change": Label("change of outputs", "%", 100),
    "metric_value": Label("metric with reuse", digits=4),
    "metric_baseline": Label("metric without reuse", digits=4),
    "speedup": Label("speedup", "x"),
    "energy_saving": Label("energy saving", "%", 100),
    "energy_j": Label("energy", "mJ", 1e3),
    "baseline_energy_j": Label("energy without reuse", "mJ", 1e3),
    "time_s": Label("time", "ms", 1e3),
    "dram_bytes": Label("main memory traffic", "MB", 1e-6),
    "area_mm2": Label("area", "mm²", digits=4),
    "limit": Label("sequences"),
}


def label_of(column: str) -> Label:
    """The label of a column; one nobody has named reads as it is, a field of the machine with its unit."""
    if not column.startswith("arch."):
        return LABELS.get(column, Label(column.replace("_", " ")))
    name, unit = column.removeprefix("arch."), unit_of(column)
    if name.endswith("capacity_bytes"):
        return Label(name.removesuffix("_bytes"), "KiB", 1 / 1024, FIELD_DIGITS)
    return Label(name, unit, digits=FIELD_DIGITS)


def unit_of(column: str) -> str:
    """Unit of a field of the machine, `arch.FIELD`."""
    from archsim.config.arch import ArchSpec, fields_of

    _, info = fields_of(ArchSpec()).get(column.removeprefix("arch."), (None, {}))
    return info.get("unit", "")
