"""The search: θ by θ for all policies side by side, then every machine at the best θ of each.

What a policy loses does not depend on the machine, so the search asks one machine of each policy only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from archsim.calibration import check_amount, standard_error
from archsim.errors import RunFailedError
from archsim.exploration.candidates import POLICIES, WIDTHS, Candidate, candidates, grid_of
from archsim.exploration.findings import Exploration, findings
from archsim.exploration.front import pareto_front
from archsim.exploration.ladder import LogGrid
from archsim.files import make_folder
from archsim.policies import policy_from
from archsim.report.page import check_page
from archsim.sweeps.choices import Choices
from archsim.sweeps.frames import SweepResults
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points
from archsim.sweeps.pools import Pool, check_jobs, pool_for
from archsim.sweeps.run import StageCallback, SweepCallback, SweepProgress, defined_in_main, run_points

SWEEP, FILE = "sweep", "explore.html"


@dataclass(frozen=True)
class Bound:
    """How much may be lost."""

    max_loss: float
    """Points of the metric."""
    margin: float
    """Standard errors a loss must stay below."""

    def __post_init__(self) -> None:
        check_amount("max_loss", self.max_loss)
        check_amount("margin", self.margin)

    def holds(self, row: pd.Series[Any]) -> bool:
        """Whether a point's loss stays within."""
        error = standard_error(row["metric_loss_low"], row["metric_loss_high"])
        return bool(row["metric_loss"] + self.margin * error <= self.max_loss)


@dataclass
class ThresholdSearch:
    """One policy's search for the largest θ within the bound."""

    candidate: Candidate
    grid: LogGrid
    bound: Bound
    tried: dict[int, pd.Series[Any]] = field(default_factory=dict)
    """Results on the first machine, by rung."""

    @property
    def fits(self) -> dict[int, bool]:
        """Rungs tried, and whether their loss is within the bound."""
        return {index: self.bound.holds(row) for index, row in self.tried.items()}

    @property
    def due(self) -> int | None:
        """The rung to try next."""
        if not self.candidate.has_theta:
            return None if self.tried else 0
        return self.grid.next_index(self.fits)

    @property
    def most(self) -> int:
        """Passes it may take."""
        return self.grid.most if self.candidate.has_theta else 1

    def rows(self, index: int, widths: tuple[int, ...]) -> list[Choices]:
        """What the points at a rung choose."""
        return self.candidate.rows(self.grid.theta(index), widths)

    @property
    def first_rows(self) -> list[Choices]:
        """The point to try next, on one machine."""
        return [] if self.due is None else self.rows(self.due, self.candidate.widths[:1])

    @property
    def all_rows(self) -> list[Choices]:
        """Every point tried, and the other machines where no other θ of the policy within the bound gains more."""
        best, widths = self._best(), self.candidate.widths
        return [
            row for index in sorted(self.tried) for row in self.rows(index, widths if index in best else widths[:1])
        ]

    def _best(self) -> set[int]:
        indices = [index for index, fits in self.fits.items() if fits]
        front = pareto_front(pd.DataFrame([self.tried[index] for index in indices])) if indices else ()
        return {index for index, on_it in zip(indices, front, strict=True) if on_it}


def explore(
    network: str | Path,
    folder: str | Path,
    *,
    max_loss: float = 1.0,
    policies: list[str] | tuple[str, ...] = POLICIES,
    widths: list[int] | tuple[int, ...] = WIDTHS,
    trace: str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    arch: str | Path = "epur",
    margin: float = 0.0,
    refine: int = 3,
    jobs: int | None = None,
    on_progress: StageCallback = lambda stage, share, words: None,
    command: str = "archsim.explore",
) -> Exploration:
    """Search each policy's θ up to `max_loss` points of loss, and run the best on every width of the FMU.

    The points are a sweep in `folder`/sweep: run again, only what is missing is done. refine: bisections near the
    bound; a policy takes at most 8 + refine functional passes. margin: standard errors a loss must stay below the
    bound. Choose θ on training or validation data only. The result is the same whatever `jobs` is.
    Raises subclasses of UsageError for what cannot be explored, before anything is written.
    """
    check_jobs(jobs)
    bound, grid = Bound(max_loss, margin), LogGrid(bisections=refine)
    chosen = {"trace": trace, "split": split, "limit": limit}
    fixed: Choices = {"network": str(network), "arch": str(arch)}
    fixed |= {key: value if key == "limit" else str(value) for key, value in chosen.items() if value is not None}
    searches = [ThresholdSearch(candidate, grid, bound) for candidate in candidates(fixed, policies, widths)]
    rounds = _Rounds(fixed, searches, Path(folder) / SWEEP, on_progress, command)
    names = [search.candidate.policy for search in searches]
    make_folder(Path(folder))
    check_page(Path(folder), FILE)
    with pool_for(jobs, None, needs_main=defined_in_main(map(policy_from, names))) as pool:
        results = rounds.run(pool)
    return findings(results, [search.candidate for search in searches], bound.holds, max_loss, split, grid.ends)


@dataclass
class _Rounds:
    """Climbs side by side: each round tries one θ of every policy that is not done."""

    fixed: Choices
    searches: list[ThresholdSearch]
    folder: Path
    on_progress: StageCallback
    command: str

    def run(self, pool: Pool) -> SweepResults:
        """Climb, then time every machine; what is found lies in the folder."""
        while due := [search for search in self.searches if search.due is not None]:
            self._round(due, pool)
        self.on_progress("search of θ", 1.0, f"{self.passes} passes")

        def report(progress: SweepProgress) -> None:
            self.on_progress("machines", progress.share, f"{progress.finished}/{progress.points} points")

        return self._sweep([row for search in self.searches for row in search.all_rows], pool, report)

    @property
    def passes(self) -> int:
        """Thresholds tried so far, each a functional pass."""
        return sum(len(search.tried) for search in self.searches)

    def _round(self, due: list[ThresholdSearch], pool: Pool) -> None:
        before, most = self.passes, sum(search.most for search in self.searches)

        def report(progress: SweepProgress) -> None:
            done = before + progress.finished
            self.on_progress("search of θ", done / most, f"{done} of at most {most} passes")

        found = self._sweep([row for search in due for row in search.first_rows], pool, report).results
        for search, (_, row) in zip(due, found.iterrows(), strict=True):
            assert search.due is not None, "only those are tried"
            search.tried[search.due] = row

    def _sweep(self, rows: list[Choices], pool: Pool, report: SweepCallback) -> SweepResults:
        grid, text = load_grid(grid_of(self.fixed, rows))
        found = run_points(
            plan_points(grid), text, self.folder, pool, on_progress=report, retry=True, command=self.command
        )
        for _, row in found.failed.iterrows():
            raise RunFailedError(f"policy {row['policy']} at θ = {row['threshold']:g}: {row['error']}")
        return found
