"""What one dataset showed, made by two sweeps and a look at single neurons; what is there already is not made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from archsim._version import __version__
from archsim.experiment.record import Record
from archsim.files import write_whole
from archsim.ir.folder import load_network
from archsim.reproduce.datasets import Dataset
from archsim.reproduce.observe import observe
from archsim.sweeps.sweep import Progress, run_sweep
from archsim.sweeps.tables import SweepResults

Tell = Callable[[str, float, str], None]
"""Hears of the name of a stage, the share of it that is done, and a few words."""
AT = 1
"""Points of loss that thresholds were calibrated for, as in the abstract."""
WATCHED = ("changes", "change_summary", "correlations", "scatter")


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything the figures are drawn from."""

    dataset: Dataset
    losses: SweepResults
    """Networks by policies by points of loss allowed."""
    thresholds: SweepResults
    """Networks by policies by θ."""
    watched: dict[str, pd.DataFrame]
    """Of all networks, by the names in `WATCHED`."""

    def at_loss(self, points: int, policy: str) -> pd.DataFrame:
        """Rows of results at one bound and policy, a row a network."""
        rows = self.losses.ran
        return rows[(rows["max_loss"] == points) & (rows["policy"] == policy)]

    @property
    def failed(self) -> list[SweepResults]:
        """The sweeps that have points which failed."""
        return [sweep for sweep in (self.losses, self.thresholds) if len(sweep.failed)]

    def sequences(self, rows: pd.DataFrame) -> str:
        """How many sequences of each network rows of results are about."""
        counts = rows.groupby("network", sort=False)["sequences"].max()
        return ", ".join(f"{network} {n}" for network, n in counts.items())

    def records(self) -> list[Record]:
        """Records at one point of loss, all policies."""
        rows = self.losses.ran
        chosen = rows[rows["max_loss"] == AT].astype(object)
        return [
            {str(key): None if pd.isna(value) else value for key, value in row.items()} for _, row in chosen.iterrows()
        ]


def find(dataset: Dataset, folder: Path, jobs: int | None, tell: Tell) -> Findings:
    """Make what is missing in `folder`, and read the rest."""
    sweeps = {"losses": dataset.losses_grid(), "thresholds": dataset.thresholds_grid()}
    watched = _watch_all(dataset, folder / "watched", tell)
    results = {
        name: _sweep(grid, folder / name, f"{dataset.name}, {name}", jobs, tell) for name, grid in sweeps.items()
    }
    return Findings(dataset, results["losses"], results["thresholds"], watched)


def _sweep(grid: dict[str, object], folder: Path, title: str, jobs: int | None, tell: Tell) -> SweepResults:
    def heard(progress: Progress) -> None:
        tell(title, progress.share, f"{progress.finished}/{progress.points} points")

    return run_sweep(grid, folder, jobs=jobs, retry=True, tell=heard, command="archsim reproduce")


def _watch_all(dataset: Dataset, folder: Path, tell: Tell) -> dict[str, pd.DataFrame]:
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in WATCHED}
    for i, network in enumerate(dataset.networks):
        tell(f"{dataset.name}, single neurons", i / len(dataset.networks), network)
        for name, frame in _watch(dataset, network, folder).items():
            found[name].append(frame)
    tell(f"{dataset.name}, single neurons", 1.0, f"{len(dataset.networks)} networks")
    return {name: pd.concat(frames, ignore_index=True) for name, frames in found.items()}


def _watch(dataset: Dataset, name: str, folder: Path) -> dict[str, pd.DataFrame]:
    network, trace = load_network(name), dataset.trace(name).limit(dataset.watched[name])
    digest = hashlib.sha256(f"{__version__} {network.digest} {trace.digest}".encode()).hexdigest()[:16]
    paths = {part: folder / f"{name}-{part}-{digest}.parquet" for part in WATCHED}
    if not all(path.is_file() for path in paths.values()):
        seen = observe(network, trace)
        for part, path in paths.items():
            with write_whole(path) as temporary:
                getattr(seen, part)().to_parquet(temporary, index=False)
    return {part: pd.read_parquet(path) for part, path in paths.items()}
