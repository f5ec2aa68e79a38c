"""Search of an exploration: one θ per policy and round, then every machine at the best θ of each policy.

The loss of a policy does not depend on the machine, so the search runs one machine per policy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsim.config.load import load_arch
from archsim.errors import RunFailedError
from archsim.exploration.candidates import POLICIES, WIDTHS, Candidate, candidates, grid_of, runnable
from archsim.exploration.precisions import PrecisionCost, checked_precisions, losses_beside_fp16, precision_costs
from archsim.exploration.result import Exploration, evaluate_points
from archsim.exploration.subjects import bound_of, check_objects, written
from archsim.exploration.threshold_search import LogGrid, ThresholdSearch
from archsim.files import make_folder
from archsim.ir.network import Network
from archsim.policies import policy_from
from archsim.report.page import check_page
from archsim.sweeps.choices import Choices
from archsim.sweeps.frames import SweepResults
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points
from archsim.sweeps.pools import Pool, check_jobs, pool_for
from archsim.sweeps.run import StageCallback, SweepCallback, SweepProgress, defined_in_main, run_points
from archsim.traceio.trace import Trace

if TYPE_CHECKING:
    import torch

    from archsim.live.onnx_model import OnnxModel

SWEEP, FILE = "sweep", "explore.html"


def explore(
    network: Network | str | Path | torch.nn.Module | OnnxModel,
    folder: str | Path,
    *,
    max_loss: float | None = None,
    max_change: float | None = None,
    loss: Callable[[Any], Any] | None = None,
    policies: list[str] | tuple[str, ...] | None = None,
    widths: list[int] | tuple[int, ...] = WIDTHS,
    trace: Trace | str | Path | Sequence[Mapping[str, Any]] | None = None,
    split: str | None = None,
    limit: int | None = None,
    arch: str | Path = "epur",
    precisions: Sequence[str] = (),
    margin: float = 0.0,
    refine: int = 3,
    jobs: int | None = None,
    on_progress: StageCallback = lambda stage, share, words: None,
    command: str = "archsim.explore",
) -> Exploration:
    """Search each policy's θ within a bound, and run the best on every width of the FMU.

    network, trace: names, files or objects, which are written into `folder`; or a torch model with one recurrent
    module, whose inputs under `loss` are the trace; or an ONNX model with one recurrent part, and its feeds.
    max_loss: points of the task metric, or of `loss`, by default 1. max_change: share that the outputs may change
    (SEMANTICS 1.5), which needs neither metric nor targets.
    policies: names; by default all of `candidates.POLICIES` that can run, and the result says why others cannot.
    loss: function of the list of outputs (T, D·H), of the torch model, or of the ONNX model's outputs, that returns a
    number, lower is better; it is compared with its value without reuse, and stands for the loss of a metric.
    precisions: number formats, by default that of the machine. With several, fp16 among them, losses, gains and area
    are beside fp16 without reuse; columns `own_...` are beside the point's own precision without reuse.
    The points are a sweep in `folder`/sweep, so that a second call runs only what is missing.
    refine: bisections near the bound; a policy takes at most 8 + refine inference runs, 10 + refine
    where θ is in units of pre-activations.
    margin: number of standard errors that a loss must stay below the bound.
    Choose θ on training or validation data only. The result does not depend on `jobs`.
    Raises subclasses of UsageError, before anything is written, for anything that cannot be explored.
    """
    check_jobs(jobs)
    bound, grid = bound_of(max_loss, max_change, margin), LogGrid(bisections=refine)
    precisions = checked_precisions(precisions)
    check_objects(network, trace, loss, split=split, limit=limit)
    given = written(network, trace, loss, Path(folder), next(iter(precisions), load_arch(arch).precision))
    bound = replace(bound, user_loss=given.loss)
    chosen = {"trace": given.trace, "split": split, "limit": limit}
    fixed: Choices = {"network": str(given.network), "arch": str(arch)}
    fixed |= {key: value if key == "limit" else str(value) for key, value in chosen.items() if value is not None}
    found, left_out = _candidates(fixed, precisions, policies, widths, needs_metric=bound.has_interval)
    searches = [ThresholdSearch(candidate, grid.for_policy(candidate.policy), bound) for candidate in found]
    costs = precision_costs(fixed, precisions)
    rounds = _Rounds(fixed, searches, costs, Path(folder) / SWEEP, on_progress, command)
    names = [search.candidate.policy for search in searches]
    make_folder(Path(folder))
    check_page(Path(folder), FILE)
    with pool_for(jobs, None, needs_main=defined_in_main(map(policy_from, names))) as pool:
        results = rounds.run(pool)
    explored = evaluate_points(results, [search.candidate for search in searches], bound, split, grid.ends, costs)
    return replace(explored, left_out=left_out)


def _candidates(
    fixed: Choices,
    precisions: Sequence[str],
    policies: Sequence[str] | None,
    widths: Sequence[int],
    *,
    needs_metric: bool,
) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidates of every precision, and the reason for each policy of the default list that cannot run."""
    found, left_out = list[Candidate](), dict[str, str]()
    formats: list[Choices] = [{"precision": name} for name in precisions] or [{}]
    for chosen in formats:
        if policies is None:
            of_format, reasons = runnable(fixed | chosen, POLICIES, widths, needs_metric=needs_metric)
            suffix = f" in {chosen['precision']}" if len(precisions) > 1 else ""
            left_out |= {f"{policy}{suffix}": reason for policy, reason in reasons.items()}
        else:
            of_format = candidates(fixed | chosen, policies, widths, needs_metric=needs_metric)
        found += of_format
    return found, left_out


@dataclass
class _Rounds:
    """Threshold searches in rounds, each of which tries one θ of every unfinished search."""

    fixed: Choices
    searches: list[ThresholdSearch]
    costs: dict[str, PrecisionCost]
    """Costs of several precisions; empty for one."""
    folder: Path
    on_progress: StageCallback
    command: str

    def run(self, pool: Pool) -> SweepResults:
        """Search θ of every policy, then run every machine; return the results, which also lie in the folder."""
        while due := [search for search in self.searches if search.due is not None]:
            self._round(due, pool)
        self.on_progress("search of θ", 1.0, f"{self.passes} passes")

        def report(progress: SweepProgress) -> None:
            self.on_progress("machines", progress.share, f"{progress.finished}/{progress.points} points")

        return self._sweep([row for search in self.searches for row in search.all_rows], pool, report)

    @property
    def passes(self) -> int:
        """Number of thresholds tried so far, each in one inference run."""
        return sum(len(search.tried) for search in self.searches)

    def _round(self, due: list[ThresholdSearch], pool: Pool) -> None:
        before = self.passes
        most = sum(search.max_tries for search in self.searches)

        def report(progress: SweepProgress) -> None:
            done = before + progress.finished
            self.on_progress("search of θ", done / most, f"{done} of at most {most} passes")

        results = self._sweep([row for search in due for row in search.first_rows], pool, report).results
        results = losses_beside_fp16(results, self.costs) if self.costs else results
        for search, (_, row) in zip(due, results.iterrows(), strict=True):
            assert search.due is not None, "a round holds only unfinished searches"
            search.tried[search.due] = row

    def _sweep(self, rows: list[Choices], pool: Pool, report: SweepCallback) -> SweepResults:
        grid, text = load_grid(grid_of(self.fixed, rows))
        results = run_points(
            plan_points(grid), text, self.folder, pool, on_progress=report, retry=True, command=self.command
        )
        for _, row in results.failed.iterrows():
            raise RunFailedError(f"policy {row['policy']} at θ = {row['threshold']:g}: {row['error']}")
        return results
