"""Results of a sweep as tidy frames: rows per point; per point and action; per point, unit and state."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsim.experiment.record import METRIC_KEYS
from archsim.files import write_whole
from archsim.sweeps.store import Store, open_store

if TYPE_CHECKING:
    import pandas as pd

_TEXT = {"network", "trace", "split", "arch", "policy", "precision", "detail", "metric", "archsim_version", "digest"}
_TEXT |= {"error", "preset"}
_NUMBERS = {*METRIC_KEYS, "output_change", "threshold", "max_loss"}
_ENERGY = ("point", "side", "component", "action", "bucket", "count", "pj_each", "joules")
_FRAMES = ("results", "energy", "utilisation")
EXPORTED = tuple(f"{name}.{kind}" for name in _FRAMES for kind in ("csv", "parquet"))
"""Names of the files of a sweep's tables."""
_UTILISATION = ("point", "side", "unit", "state", "share")


@dataclass(frozen=True, eq=False)
class SweepResults:
    """Results of a sweep so far, as frames."""

    results: pd.DataFrame
    """Frame with point, error (null if it ran), the keys that the grid sets, then the keys of the JSON record."""
    energy: pd.DataFrame
    """Frame with point, side (policy or baseline), component, action, bucket, count, pj_each, joules."""
    utilisation: pd.DataFrame
    """Frame with point, side, unit, state (busy, idle, or a wait reason), share of the run's time."""
    chosen: list[str]
    """Columns of results that the grid sets."""
    about: dict[str, str]
    """Provenance: the grid, the command, versions, digests."""
    n_points: int
    """Number of points of the grid, finished or not."""

    @property
    def ran(self) -> pd.DataFrame:
        """Results of the points that ran."""
        return self.results[self.results["error"].isna()]

    @property
    def failed(self) -> pd.DataFrame:
        """Results of the points that failed, with their `error`."""
        return self.results[self.results["error"].notna()]


def read_sweep(folder: str | Path) -> SweepResults:
    """Return the results of a sweep's finished points; raise UsageError for a folder that holds no sweep."""
    with closing(open_store(Path(folder))) as store:
        return results_of(store)


def results_of(store: Store) -> SweepResults:
    """Return the frames of a store's content."""
    import pandas as pd

    choices = store.choices()
    chosen = list(dict.fromkeys(key for one in choices for key in one))
    rows: list[dict[str, Any]] = []
    energy: list[dict[str, Any]] = []
    uses: list[dict[str, Any]] = []
    for position, point, error, outcome in store.rows():
        plain = {key: json.dumps(value) if isinstance(value, list) else value for key, value in point.items()}
        record = outcome.record if outcome else {}
        rows.append({"point": position, "error": error} | dict.fromkeys(chosen) | record | plain)
        if outcome:
            energy += [{"point": position} | row for row in outcome.energy]
            uses += [{"point": position} | row for row in outcome.utilisation]
    columns = list(dict.fromkeys(key for row in [dict.fromkeys(["point", "error", *chosen]), *rows] for key in row))
    return SweepResults(
        _typed(pd.DataFrame(rows, columns=columns, dtype=object)),
        pd.DataFrame(energy, columns=list(_ENERGY)),
        pd.DataFrame(uses, columns=list(_UTILISATION)),
        chosen,
        store.about(),
        len(choices),
    )


def export(store: Store, folder: Path) -> SweepResults:
    """Write the frames as `results`, `energy` and `utilisation` (.csv and .parquet), and return them.

    Equal data give equal bytes.
    """
    results = results_of(store)
    for name in _FRAMES:
        frame: pd.DataFrame = getattr(results, name)
        with write_whole(folder / f"{name}.csv") as path:
            frame.to_csv(path, index=False, lineterminator="\n")
        with write_whole(folder / f"{name}.parquet") as path, path.open("wb") as file:  # pyarrow takes UTF-8 paths only
            frame.to_parquet(file, index=False)
    return results


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose columns are texts, nullable booleans or whole numbers, or floats."""
    return frame.astype({column: _type(column, frame[column]) for column in frame.columns})


def _type(column: str, values: pd.Series[Any]) -> str:
    kinds = {type(value) for value in values.dropna()}
    if column in _TEXT or str in kinds or (bool in kinds and len(kinds) > 1):
        return "string"
    if column in _NUMBERS or float in kinds or not kinds:
        return "float64"
    return "boolean" if bool in kinds else "Int64"
