"""Choices of a search for θ, and the bar that shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archsim.calibration.scored import Bound, CalibratedThreshold, Outcome, ScoredTrials, max_trials, search_theta
from archsim.calibration.search import check_search, hint_at_zero
from archsim.errors import ConfigError
from archsim.files import check_writable, named_path
from archsim.policies import Policy

OnTrial = Callable[[dict[str, Any]], None]
"""Callback that takes the flat record of a θ just tried."""


@dataclass(frozen=True)
class ThetaSearch:
    """Checked choices of one search for the largest θ within a bound."""

    policy: Policy
    bound: Bound
    margin: float
    """Standard errors that a loss stays below the bound."""
    highest: float
    resolution: float
    precision: str
    log: Path | None
    """CSV file that is rewritten after each trial."""
    progress: bool
    on_trial: OnTrial

    def over(self, run: Callable[[float | None], Outcome]) -> CalibratedThreshold:
        """Search over a callable that runs a model at a θ, or without reuse for None."""
        with self.bar() as on_trial:
            trials = ScoredTrials(run, self.bound, on_trial, self.log)
            hint = hint_at_zero(self.policy)
            return search_theta(trials, highest=self.highest, resolution=self.resolution, hint=hint)

    @contextmanager
    def bar(self) -> Iterator[OnTrial]:
        """Yield a callback that draws a bar on standard error, if that is a terminal, and calls `on_trial`."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = [TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()]
        hidden = not (self.progress and sys.stderr is not None and sys.stderr.isatty())
        title = f"θ of {self.policy.name}"
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as bars:
            task = bars.add_task(title, total=max_trials(self.highest, self.resolution))

            def report(record: dict[str, Any]) -> None:
                bars.update(task, advance=1, description=f"{title}: {record['threshold']:g} tried")
                self.on_trial(record)

            yield report


def theta_search(
    policy: str | Policy,
    max_loss: float | None = None,
    max_change: float | None = None,
    *,
    margin: float = 0.0,
    highest: float = 4.0,
    resolution: float = 0.01,
    precision: str = "fp16",
    log: str | Path | None = None,
    progress: bool = True,
    on_trial: OnTrial = lambda record: None,
) -> ThetaSearch:
    """Return the choices of a search, checked before any work; without a bound it is one point of loss.

    Raises ConfigError for choices without meaning, and UsageError for a log that cannot be written.
    """
    bound = Bound(1.0 if max_loss is None and max_change is None else max_loss, max_change)
    checked = check_search(policy, [bound.value], margin, highest, resolution, "network", 1)
    if margin and max_change is not None:
        raise ConfigError(f"margin = {margin}: the change of the outputs has no standard error, need max_loss or 0")
    path = None if log is None else check_writable(named_path(log))
    return ThetaSearch(checked, bound, margin, highest, resolution, precision, path, progress, on_trial)
