"""The search: θ by θ for all policies side by side, then every machine at the best θ of each.

What a policy loses does not depend on the machine, so the search asks one machine of each policy only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from archsim.calibration import check_amount, standard_error
from archsim.errors import RunFailedError
from archsim.exploration.candidates import POLICIES, WIDTHS, Candidate, candidates, grid_of
from archsim.exploration.findings import Exploration, findings
from archsim.exploration.front import pareto_front
from archsim.exploration.ladder import Ladder
from archsim.files import make_folder
from archsim.policies import policy_from
from archsim.report.page import check_page
from archsim.sweeps.choices import Choices
from archsim.sweeps.frames import SweepResults
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points
from archsim.sweeps.pools import Pool, check_jobs, pool_for
from archsim.sweeps.run import Progress, defined_in_main, run_points

Tell = Callable[[str, float, str], None]
"""Hears of the name of a stage, the share of it that is done, and a few words."""
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
class Climb:
    """One policy's search for the largest θ within the bound."""

    candidate: Candidate
    ladder: Ladder
    bound: Bound
    tried: dict[int, pd.Series[Any]] = field(default_factory=dict)
    """Results on the first machine, by rung."""

    @property
    def fits(self) -> dict[int, bool]:
        """Rungs tried, and whether their loss is within the bound."""
        return {rung: self.bound.holds(row) for rung, row in self.tried.items()}

    @property
    def due(self) -> int | None:
        """The rung to try next."""
        if not self.candidate.has_theta:
            return None if self.tried else 0
        return self.ladder.next_rung(self.fits)

    @property
    def most(self) -> int:
        """Passes it may take."""
        return self.ladder.most if self.candidate.has_theta else 1

    def rows(self, rung: int, widths: tuple[int, ...]) -> list[Choices]:
        """What the points at a rung choose."""
        return self.candidate.rows(self.ladder.theta(rung), widths)

    @property
    def first_rows(self) -> list[Choices]:
        """The point to try next, on one machine."""
        return [] if self.due is None else self.rows(self.due, self.candidate.widths[:1])

    @property
    def all_rows(self) -> list[Choices]:
        """Every point tried, and the other machines where no other θ of the policy within the bound gains more."""
        best, widths = self._best(), self.candidate.widths
        return [row for rung in sorted(self.tried) for row in self.rows(rung, widths if rung in best else widths[:1])]

    def _best(self) -> set[int]:
        rungs = [rung for rung, fits in self.fits.items() if fits]
        front = pareto_front(pd.DataFrame([self.tried[rung] for rung in rungs])) if rungs else ()
        return {rung for rung, on_it in zip(rungs, front, strict=True) if on_it}


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
    tell: Tell = lambda stage, share, words: None,
    command: str = "archsim.explore",
) -> Exploration:
    """Search each policy's θ up to `max_loss` points of loss, and run the best on every width of the FMU.

    The points are a sweep in `folder`/sweep: run again, only what is missing is done. refine: bisections near the
    bound; a policy takes at most 8 + refine functional passes. margin: standard errors a loss must stay below the
    bound. Choose θ on training or validation data only. The result is the same whatever `jobs` is.
    Raises subclasses of UsageError for what cannot be explored, before anything is written.
    """
    check_jobs(jobs)
    bound, ladder = Bound(max_loss, margin), Ladder(bisections=refine)
    chosen = {"trace": trace, "split": split, "limit": limit}
    fixed: Choices = {"network": str(network), "arch": str(arch)}
    fixed |= {key: value if key == "limit" else str(value) for key, value in chosen.items() if value is not None}
    climbs = [Climb(candidate, ladder, bound) for candidate in candidates(fixed, policies, widths)]
    search = _Search(fixed, climbs, Path(folder) / SWEEP, tell, command)
    names = [climb.candidate.policy for climb in climbs]
    make_folder(Path(folder))
    check_page(Path(folder), FILE)
    with pool_for(jobs, None, needs_main=defined_in_main(map(policy_from, names))) as pool:
        results = search.run(pool)
    return findings(results, [climb.candidate for climb in climbs], bound.holds, max_loss, split, ladder.ends)


@dataclass
class _Search:
    """Climbs side by side: each round tries one θ of every policy that is not done."""

    fixed: Choices
    climbs: list[Climb]
    folder: Path
    tell: Tell
    command: str

    def run(self, pool: Pool) -> SweepResults:
        """Climb, then time every machine; what is found lies in the folder."""
        while due := [climb for climb in self.climbs if climb.due is not None]:
            self._round(due, pool)
        self.tell("search of θ", 1.0, f"{self.passes} passes")

        def heard(progress: Progress) -> None:
            self.tell("machines", progress.share, f"{progress.finished}/{progress.points} points")

        return self._sweep([row for climb in self.climbs for row in climb.all_rows], pool, heard)

    @property
    def passes(self) -> int:
        """Thresholds tried so far, each a functional pass."""
        return sum(len(climb.tried) for climb in self.climbs)

    def _round(self, due: list[Climb], pool: Pool) -> None:
        before, most = self.passes, sum(climb.most for climb in self.climbs)

        def heard(progress: Progress) -> None:
            done = before + progress.finished
            self.tell("search of θ", done / most, f"{done} of at most {most} passes")

        found = self._sweep([row for climb in due for row in climb.first_rows], pool, heard).results
        for climb, (_, row) in zip(due, found.iterrows(), strict=True):
            assert climb.due is not None, "only those are tried"
            climb.tried[climb.due] = row

    def _sweep(self, rows: list[Choices], pool: Pool, heard: Callable[[Progress], None]) -> SweepResults:
        grid, text = load_grid(grid_of(self.fixed, rows))
        found = run_points(plan_points(grid), text, self.folder, pool, tell=heard, retry=True, command=self.command)
        for _, row in found.failed.iterrows():
            raise RunFailedError(f"policy {row['policy']} at θ = {row['threshold']:g}: {row['error']}")
        return found
