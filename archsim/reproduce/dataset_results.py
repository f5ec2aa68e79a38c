"""Results of one dataset: two sweeps and an observation of single neurons, each made only if it is missing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from archsim._version import __version__
from archsim.experiment.record import Record
from archsim.files import make_folder, write_whole
from archsim.ir.folder import load_network
from archsim.reproduce.datasets import Dataset
from archsim.reproduce.neurons import observe
from archsim.sealed import blank_seal, is_sealed, seal
from archsim.sweeps.frames import SweepResults
from archsim.sweeps.run import StageCallback, SweepProgress, make_sweep_folders, run_sweep
from archsim.sweeps.store import LOG

AT = 1
"""Points of loss that thresholds were calibrated for, as in the paper's abstract."""
SWEEPS = ("losses", "thresholds")
OBSERVED_FOLDER = "watched"
OBSERVED = ("changes", "change_summary", "correlations", "scatter")
"""Tables of `Observation`, by the name of their method."""


@dataclass(frozen=True, eq=False)
class DatasetResults:
    """Results that the figures of one dataset are drawn from."""

    dataset: Dataset
    losses: SweepResults
    """Results by network, policy and allowed points of loss."""
    thresholds: SweepResults
    """Results by network, policy and θ."""
    observed: dict[str, pd.DataFrame]
    """Tables of all networks, by the names in `OBSERVED`."""

    def at_loss(self, points: int, policy: str) -> pd.DataFrame:
        """Return the results at one bound and policy, one row per network."""
        rows = self.losses.ran
        return rows[(rows["max_loss"] == points) & (rows["policy"] == policy)]

    @property
    def failed(self) -> list[SweepResults]:
        """Sweeps with failed points."""
        return [sweep for sweep in (self.losses, self.thresholds) if len(sweep.failed)]

    def sequences(self, rows: pd.DataFrame) -> str:
        """Return the number of sequences per network in rows of results, as text."""
        counts = rows.groupby("network", sort=False)["sequences"].max()
        return ", ".join(f"{network} {n}" for network, n in counts.items())

    def records(self) -> list[Record]:
        """Return the records of all policies at one point of loss."""
        rows = self.losses.ran
        chosen = rows[rows["max_loss"] == AT].astype(object)
        return [
            {str(key): None if pd.isna(value) else value for key, value in row.items()} for _, row in chosen.iterrows()
        ]


def make_folders(folder: Path) -> None:
    """Make the folders of a dataset; raise UsageError, before any work, if that is impossible."""
    make_folder(folder / OBSERVED_FOLDER)
    for name in SWEEPS:
        make_sweep_folders(folder / name)


def run_dataset(dataset: Dataset, folder: Path, jobs: int | None, on_progress: StageCallback) -> DatasetResults:
    """Return the results of a dataset, made as far as `folder` does not hold them."""
    make_folders(folder)
    sweeps = dict(zip(SWEEPS, (dataset.losses_grid(), dataset.thresholds_grid()), strict=True))
    observed = _observe_all(dataset, folder / OBSERVED_FOLDER, on_progress)
    results = {
        name: _sweep(grid, folder / name, f"{dataset.name}, {name}", jobs, on_progress) for name, grid in sweeps.items()
    }
    return DatasetResults(dataset, results["losses"], results["thresholds"], observed)


def _sweep(
    grid: dict[str, object], folder: Path, title: str, jobs: int | None, on_progress: StageCallback
) -> SweepResults:
    def report(progress: SweepProgress) -> None:
        on_progress(title, progress.share, f"{progress.finished}/{progress.points} points")

    return run_sweep(grid, folder, jobs=jobs, retry=True, on_progress=report, command="archsim reproduce")


def _observe_all(dataset: Dataset, folder: Path, on_progress: StageCallback) -> dict[str, pd.DataFrame]:
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in OBSERVED}
    for i, network in enumerate(dataset.networks):
        on_progress(f"{dataset.name}, single neurons", i / len(dataset.networks), network)
        for name, frame in _observe(dataset, network, folder).items():
            frames[name].append(frame)
    on_progress(f"{dataset.name}, single neurons", 1.0, f"{len(dataset.networks)} networks")
    return {name: pd.concat(of_name, ignore_index=True) for name, of_name in frames.items()}


def _observe(dataset: Dataset, name: str, folder: Path) -> dict[str, pd.DataFrame]:
    network, trace = load_network(name), dataset.trace(name).limit(dataset.observed[name])
    digest = hashlib.sha256(f"{__version__} {network.digest} {trace.digest}".encode()).hexdigest()[:16]
    paths = {part: folder / f"{name}-{part}-{digest}.parquet" for part in OBSERVED}
    unusable = [path for path in paths.values() if not is_sealed(path, path.stem)]
    for path in unusable:
        if path.exists():
            LOG.warning("%s: damaged, so it is made again", path)
    if unusable:
        observation = observe(network, trace)
        for part, path in paths.items():
            _write_sealed(getattr(observation, part)(), path)
    return {part: pd.read_parquet(path) for part, path in paths.items()}


def _write_sealed(frame: pd.DataFrame, path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    about = {**(table.schema.metadata or {}), b"seal": blank_seal(path.stem).encode()}
    with write_whole(path) as temporary:
        parquet.write_table(table.replace_schema_metadata(about), temporary)
        seal(temporary, path.stem)
