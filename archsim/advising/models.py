"""Models that are advised on whole: a torch module or an ONNX file, whose recurrent layers are computed here."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archsim.advising.subjects import Halves, Part, Units, affordable, halves_of
from archsim.advising.trials import Cost, Trial, change_cost, score_cost
from archsim.calibration.scored import finite_score
from archsim.errors import ConfigError, in_brief
from archsim.inference.policy_parameters import needs_measures
from archsim.inference.precision import is_integer, measuring_precision
from archsim.ir.network import Scales
from archsim.live.onnx_feeds import Feed
from archsim.live.onnx_model import OnnxModel
from archsim.live.session import Session
from archsim.live.torch_session import attach
from archsim.policies import NoReuse, Policy, saves_work

if TYPE_CHECKING:
    import torch

Evaluate = Callable[..., Any]
"""Function that returns one number, higher is better: see `archsim.advise`."""
SCORE = "evaluate"
"""Name of the score of a user's evaluation."""


class ModelSubject(ABC):
    """Model whose recurrent parts run inside it, input by input."""

    unit = "input"
    name: str
    trace_name = "inputs"
    n_given: int
    precision: str
    evaluate: Evaluate | None
    halves: Halves

    def __init__(self) -> None:
        self.points = None if self.evaluate is None else SCORE
        self._scales: dict[str, Scales] | None = None
        self._plain: dict[Units, tuple[Session, list[float]]] = {}

    @abstractmethod
    def _run(
        self, policy: Policy, threshold: float | None, units: Units, scales: dict[str, Scales] | None
    ) -> tuple[Session, list[float]]:
        """Run the model on some inputs; return what went through its parts, and the score of each input."""

    @property
    @abstractmethod
    def outside(self) -> str:
        """Sentence on what of the model is not simulated."""

    def trial(self, policy: Policy, threshold: float | None, units: Units) -> Trial:
        """Run a policy at a θ on some inputs."""
        scales = self._measured() if needs_measures(policy, self.precision) else None
        plain = isinstance(policy, NoReuse)
        session, after = self._without_reuse(units) if plain else self._run(policy, threshold, units, scales)
        inferences = [part.inference for part in session.called]
        loss = None if self.evaluate is None else score_cost(self._without_reuse(units)[1], after)
        return Trial(policy, threshold, inferences, change_cost(inferences), loss, session.simulate)

    def parts(self, units: Units) -> list[Part]:
        """Return the networks of the parts that ran, and what went into them without reuse."""
        scales, session = self._measured(), self._without_reuse(units)[0]
        called = [part for part in session.called if part.name in scales]
        return [Part(replace(part.network, scales=scales[part.name]), part.trace) for part in called]

    def at(self, precision: str) -> ModelSubject:
        """Return the same inputs in a precision."""
        if precision == self.precision:
            return self
        other = copy(self)
        other.precision, other._plain = precision, {}
        return other

    def loss_beside(self, other: ModelSubject, units: Units) -> Cost | None:
        """Return by how much the score without reuse is below that of `other`; None without an evaluation."""
        if self.evaluate is None:
            return None
        return score_cost(other._without_reuse(units)[1], self._without_reuse(units)[1])

    def _without_reuse(self, units: Units) -> tuple[Session, list[float]]:
        if units not in self._plain:
            scales = self._measured() if is_integer(self.precision) else None
            self._plain[units] = self._run(NoReuse(), None, units, scales)
        return self._plain[units]

    def _precision(self, scales: dict[str, Scales] | None) -> str:
        """Return the precision of a run with these scales; one that lacks them measures them."""
        return measuring_precision(self.precision) if scales is None else self.precision

    def _measured(self) -> dict[str, Scales]:
        """Return the scales of each part's inputs, measured on the choosing half."""
        if self._scales is None:
            units = self.halves.choosing
            measures = is_integer(self.precision)
            session, _ = self._run(NoReuse(), None, units, None) if measures else self._without_reuse(units)
            self._scales = session.measure_scales()
        return self._scales


class TorchSubject(ModelSubject):
    """Torch model with its inputs: a tensor, or a list of tensors or of tuples of arguments, one per call."""

    def __init__(
        self, model: torch.nn.Module, inputs: Any, evaluate: Evaluate | None, *, limit: int | None, precision: str
    ) -> None:
        self.model = model
        self.name = type(model).__name__
        self.evaluate = evaluate
        self.precision = precision
        # An evaluation of the model alone, as `calibrate` takes, cannot be cut into halves.
        self.whole = evaluate is not None and not _takes(evaluate, 2)
        self.inputs: list[Any] = [None] if self.whole else _listed(inputs)
        super().__init__()
        self.n_given = len(self.inputs)
        with attach(model, NoReuse(), precision=measuring_precision(precision), compare=False) as session:
            self.table = session.table
            taken = affordable(self._macs(session), limit)
        if not session.called:
            names = ", ".join(session.parts)
            raise ConfigError(f"{self.name}: none of its recurrent modules ({names}) has run: nothing to advise on")
        self.halves = halves_of(taken)

    @property
    def outside(self) -> str:
        """Sentence on the modules that are not simulated."""
        return _outside([row.kind for row in self.table.rows if row.outcome == "left outside"])

    def _macs(self, session: Session) -> Iterator[int]:
        """Yield the multiply-accumulates of each input, run when asked for."""
        before = 0
        for item in self.inputs:
            self._score(item)
            total = session.record["macs_total"]
            assert isinstance(total, int), "a count"
            yield total - before
            before = total

    def _run(
        self, policy: Policy, threshold: float | None, units: Units, scales: dict[str, Scales] | None
    ) -> tuple[Session, list[float]]:
        compare, precision = saves_work(policy), self._precision(scales)
        with attach(self.model, policy, threshold, precision, scales=scales, compare=compare) as session:
            scores = [self._score(self.inputs[unit]) for unit in units]
        return session, scores

    def _score(self, item: Any) -> float:
        """Run the model on one input; return its score, 0 without an evaluation."""
        import torch

        with torch.no_grad():
            if self.evaluate is None:
                self.model(*item) if isinstance(item, tuple) else self.model(item)
                return 0.0
            value = self.evaluate(self.model) if self.whole else self.evaluate(self.model, item)
        return finite_score(value)


class OnnxSubject(ModelSubject):
    """ONNX model with feeds; calls that carry a state on are one input."""

    def __init__(
        self, model: OnnxModel, feeds: Any, evaluate: Evaluate | None, *, limit: int | None, precision: str
    ) -> None:
        if evaluate is not None and not _takes(evaluate, 2):
            raise ConfigError("evaluate: need a function of (outputs, feeds) of an ONNX model that returns a number")
        self.model = model
        self.name = model.path.name
        self.evaluate = evaluate
        self.precision = precision
        self.inputs = _sequences(_feeds(feeds), set(model.carried))
        super().__init__()
        self.n_given = len(self.inputs)
        self.halves = halves_of(affordable(self._macs(), limit))

    @property
    def outside(self) -> str:
        """Sentence on the nodes that are not simulated."""
        return _outside([row.kind for row in self.model.table.rows if row.outcome == "left outside"])

    def _macs(self) -> Iterator[int]:
        for feeds in self.inputs:
            run = self.model.run(feeds, NoReuse(), precision=self._precision(None), compare=False)
            total = run.session.record["macs_total"]
            assert isinstance(total, int), "a count"
            yield total

    def _run(
        self, policy: Policy, threshold: float | None, units: Units, scales: dict[str, Scales] | None
    ) -> tuple[Session, list[float]]:
        feeds = [feed for unit in units for feed in self.inputs[unit]]
        compare, precision = saves_work(policy), self._precision(scales)
        run = self.model.run(feeds, policy, threshold, precision, scales=scales, compare=compare)
        if not run.session.called:
            raise ConfigError(f"{self.name}: none of its recurrent nodes has run on these feeds: nothing to advise on")
        return run.session, self._scores(run.outputs, units)

    def _scores(self, outputs: list[Feed], units: Units) -> list[float]:
        if self.evaluate is None:
            return [0.0] * len(units)
        scores, first = [], 0
        for unit in units:
            feeds = self.inputs[unit]
            scores.append(finite_score(self.evaluate(outputs[first : first + len(feeds)], feeds)))
            first += len(feeds)
        return scores


def _takes(function: Evaluate, arguments: int) -> bool:
    """Return whether a function can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # a function of C may not say
        return True
    return True


def _listed(inputs: Any) -> list[Any]:
    """Return the inputs of a torch model, one per call; ConfigError for none."""
    if hasattr(inputs, "detach"):
        return [inputs]
    if not isinstance(inputs, Iterable) or isinstance(inputs, str | bytes):
        got = type(inputs).__name__
        raise ConfigError(
            f"inputs are a {got}: need a tensor, or a list of tensors or tuples of arguments, one per call"
        )
    listed = list(inputs)
    if not listed:
        raise ConfigError("inputs are empty: need at least one, better eight or more")
    return listed


def _feeds(feeds: Any) -> list[Mapping[str, Any]]:
    """Return the feeds of an ONNX model, one per call; ConfigError for none."""
    listed = list(feeds) if isinstance(feeds, Sequence) else [feeds]
    if not listed or not all(isinstance(feed, Mapping) for feed in listed):
        raise ConfigError(f"inputs are {in_brief(feeds)}: need a list of feeds, each a dictionary of inputs by name")
    return listed


def _sequences(feeds: list[Mapping[str, Any]], carried: set[str]) -> list[list[Mapping[str, Any]]]:
    """Return the feeds in lists, one per sequence: a call that leaves its state out goes on with the one before."""
    sequences: list[list[Mapping[str, Any]]] = []
    for feed in feeds:
        if sequences and carried and not carried <= feed.keys():
            sequences[-1].append(feed)
        else:
            sequences.append([feed])
    return sequences


def _outside(kinds: Iterable[str]) -> str:
    names = ", ".join(dict.fromkeys(kinds))
    return f"Only recurrent layers are simulated; the rest of the model is not: {names}." if names else ""
