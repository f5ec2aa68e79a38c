"""Result of several parts of one model: sums, with each part's share beside them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsim.experiment.record import HEAD_KEYS, METRIC_KEYS, Record
from archsim.experiment.result import Result, write_records

if TYPE_CHECKING:
    import pandas as pd

SHARED_KEYS = ("arch", "policy", "precision", "detail", "archsim_version")
"""Keys whose values are the same in all parts."""
COUNT_KEYS = (
    *("sequences", "steps", "neurons_total", "neurons_reused", "macs_total"),
    *("cycles", "baseline_cycles", "dram_bytes", "events"),
)
"""Keys of whole numbers that add up."""
AMOUNT_KEYS = (
    *("time_s", "energy_j", "baseline_energy_j", "wall_s"),
    *("energy_scratchpad_j", "energy_operations_j", "energy_dram_j", "energy_memo_j", "energy_static_j"),
)
"""Keys of amounts that add up."""


class SumResult:
    """Result of all parts of a model, which run one after the other on one machine; it has the keys of a `Result`.

    Cycles, energies and bytes are sums. The area is that of the largest machine that a part needs.
    """

    def __init__(self, parts: dict[str, Result], output_change: float | None) -> None:
        self.parts = parts
        """Result of each part by name."""
        self.record = _sum_record([result.record for result in parts.values()], output_change)
        """Flat record with the keys of docs/CONTRACT.md; None where a figure does not apply."""

    def __repr__(self) -> str:
        r = self.record
        gains = f"speedup {r['speedup']:.3f}, energy saving {r['energy_saving']:.3f}"
        return f"<SumResult of {', '.join(self.parts)}, {r['policy']} on {r['arch']}: {gains}>\n{self.shares}"

    def summary(self) -> pd.Series[Any]:
        """Return the record as a pandas Series."""
        import pandas as pd

        return pd.Series(self.record, dtype=object)

    @cached_property
    def shares(self) -> pd.DataFrame:
        """Row per part: its cycles, energy and multiply-accumulates, and their shares of the sums."""
        import pandas as pd

        rows = [
            {
                "part": name,
                **{key: result.record[key] for key in ("reuse_fraction", "speedup", "energy_saving")},
                **{key: result.record[key] for key in ("cycles", "energy_j", "macs_total")},
                **{
                    f"{key}_share": result.record[key] / self.record[key]
                    for key in ("cycles", "energy_j", "macs_total")
                },
            }
            for name, result in self.parts.items()
        ]
        return pd.DataFrame(rows)

    @cached_property
    def energy(self) -> pd.DataFrame:
        """Energy by part, component and action: part, component, action, bucket, count, pj_each, joules."""
        import pandas as pd

        frames = [result.energy.assign(part=name) for name, result in self.parts.items()]
        columns = ["part", *frames[0].columns.drop("part")]
        return pd.concat(frames, ignore_index=True)[columns]

    def to_json(self, path: str | Path) -> None:
        """Write a list of the sum's record and of each part's."""
        write_records([self.record, *(result.record for result in self.parts.values())], path)


def _sum_record(records: list[Record], output_change: float | None) -> Record:
    """Return the record of all parts together, with the keys in the order of a part's."""

    def total(key: str, add: Callable[[Iterable[Any]], Any]) -> Any:
        values = [record[key] for record in records]
        return None if None in values else add(values)

    sums = {key: total(key, sum) for key in COUNT_KEYS} | {key: total(key, math.fsum) for key in AMOUNT_KEYS}
    avoided = math.fsum(record["macs_avoided_fraction"] * record["macs_total"] for record in records)
    reused = sums["neurons_reused"]
    derived = {
        "network": " + ".join(record["network"] for record in records),
        "trace": " + ".join(record["trace"] for record in records),
        "threshold": _same([record["threshold"] for record in records]),
        "reuse_fraction": None if reused is None else reused / sums["neurons_total"],
        "macs_avoided_fraction": avoided / sums["macs_total"],
        "speedup": sums["baseline_cycles"] / sums["cycles"],
        "energy_saving": 1 - sums["energy_j"] / sums["baseline_energy_j"],
        "area_mm2": max(record["area_mm2"] for record in records),
        "output_change": output_change,
        "digest": hashlib.sha256("".join(record["digest"] for record in records).encode()).hexdigest(),
    }
    shared = {key: records[0][key] for key in SHARED_KEYS}
    whole = shared | sums | derived | dict.fromkeys((*HEAD_KEYS, *METRIC_KEYS))
    return {key: whole[key] for key in records[0]}


def _same(thresholds: list[Any]) -> Any:
    """Return the θ of all parts; None where they differ."""
    return thresholds[0] if all(threshold == thresholds[0] for threshold in thresholds) else None
