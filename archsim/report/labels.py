"""Readable names of columns, with their units and the factor that converts a value to the unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


FIELD_DIGITS = 9
"""Significant digits of machine fields, enough to show each as it was set."""


@dataclass(frozen=True)
class Label:
    """Name, unit and scale under which an axis or a table shows a column of results."""

    text: str
    unit: str = ""
    factor: float = 1.0
    digits: int = 3
    """Significant digits in a table."""

    @property
    def axis(self) -> str:
        """Text of an axis or table head, `text (unit)`."""
        return f"{self.text} ({self.unit})" if self.unit else self.text

    def scaled(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return values converted to the unit."""
        return values.astype(float) * self.factor

    def number(self, value: float | str | None) -> str:
        """Return one value in the unit for a table, a dash for none, or a text (θ by layer or gate) unchanged."""
        if isinstance(value, str):
            return value
        if value is None or value != value:
            return "–"
        text = f"{value * self.factor:.{self.digits}g}"
        return f"{float(text) + 0.0:.0f}" if "e+" in text or float(text) == 0 else text  # + 0.0 turns -0 into 0

    def shown(self, value: float | None) -> str:
        """Return one value with its unit."""
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
    "speedup_over_fp16": Label("speedup over fp16 without reuse", "x"),
    "energy_saving_over_fp16": Label("energy saving over fp16 without reuse", "%", 100),
    "energy_j": Label("energy", "mJ", 1e3),
    "baseline_energy_j": Label("energy without reuse", "mJ", 1e3),
    "time_s": Label("time", "ms", 1e3),
    "dram_bytes": Label("main memory traffic", "MB", 1e-6),
    "area_mm2": Label("area", "mm²", digits=4),
    "limit": Label("sequences"),
}


def label_of(column: str) -> Label:
    """Return the label of a column; derive it from the name if `LABELS` has none, for machine fields with the unit."""
    if not column.startswith("arch."):
        return LABELS.get(column, Label(column.replace("_", " ")))
    name, unit = column.removeprefix("arch."), unit_of(column)
    if name.endswith("capacity_bytes"):
        return Label(name.removesuffix("_bytes"), "KiB", 1 / 1024, FIELD_DIGITS)
    return Label(name, unit, digits=FIELD_DIGITS)


def unit_of(column: str) -> str:
    """Return the unit of a machine field, `arch.FIELD`, or an empty text."""
    from archsim.config.arch import ArchSpec, fields_of

    _, info = fields_of(ArchSpec()).get(column.removeprefix("arch."), (None, {}))
    return info.get("unit", "")
