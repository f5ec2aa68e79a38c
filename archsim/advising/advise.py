"""`archsim.advise`: whether reuse pays for a network and its data, and what holds it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsim.advising.advice import Advice
from archsim.advising.bottlenecks import layer_gains
from archsim.advising.choice import GRID, Bound, ThetaChoice, judge
from archsim.advising.formats import format_gains
from archsim.advising.layers import similarities
from archsim.advising.models import OnnxSubject, TorchSubject
from archsim.advising.remedies import looser_bounds, remedies
from archsim.advising.subjects import NetworkSubject, Subject
from archsim.calibration import check_amount, no_loss
from archsim.config.arch import ArchSpec
from archsim.config.load import load_arch
from archsim.corpora.catalogue import load_trace
from archsim.errors import ConfigError
from archsim.ir.folder import load_network
from archsim.ir.network import Network
from archsim.live.onnx_model import OnnxModel
from archsim.policies import NoReuse, Policy, policy_from, saves_work
from archsim.policies.predicted import PredictedPolicy
from archsim.sweeps.run import StageCallback
from archsim.traceio.trace import Trace
from archsim.validation import whole_number

if TYPE_CHECKING:
    import torch

MAX_LOSS, MAX_CHANGE = 1.0, 0.05
"""Default bounds: points of a score, and share that the outputs may change."""
POLICIES = (
    *("bnn", "bnn:centre=on", "ternary:throttle=off", "lowbit:bits=3,throttle=off,correct=on"),
    *("input-similarity", "delta", "delta:weighted=on"),
    *(f"delta:weighted=on,tail={bits}" for bits in (2, 3, 4)),
    "oracle",
)
"""Policies that are compared: the paper's, better predictors, those that skip unchanged inputs, and the bound."""


def advise(
    network_or_model: Network | str | Path | torch.nn.Module | OnnxModel,
    trace_or_inputs: Any,
    evaluate: Callable[..., Any] | None = None,
    max_loss: float | None = MAX_LOSS,
    max_change: float | None = MAX_CHANGE,
    *,
    arch: ArchSpec | str | Path = "epur",
    policies: Sequence[str | Policy] = POLICIES,
    limit: int | None = None,
    precision: str | None = None,
    on_progress: StageCallback = lambda stage, share, words: None,
) -> Advice:
    """Return whether reuse pays, by which policy and at what loss; `str` begins with the verdict, yes or no.

    network_or_model, trace_or_inputs: a network and a trace, by name or path or as objects; a torch model and its
    inputs, one tensor or tuple of arguments per call; or an OnnxModel and its feeds.
    evaluate: for models, a function that returns one number, higher is better: of (model, input) for a torch model,
    which runs it on one of the inputs; of (outputs, feeds) for an ONNX model, lists over the calls of one sequence.
    Their mean is the score. A function of the torch model alone is taken, too; its loss has no interval.
    max_loss: points of the metric or of `evaluate` that may be lost. max_change: share that the outputs of the
    recurrent layers may change (SEMANTICS 1.5), where there is neither, or where `max_loss` is None.
    θ and the policy are chosen on one of each two neighbouring sequences, drawn by chance, and judged on the others.
    precision: None takes that of the machine.
    limit: sequences to take; by default as many as two cores run in a few minutes, counted in multiply-accumulates.
    Raises subclasses of UsageError for anything that cannot be advised on.
    """
    made = [policy_from(policy) for policy in policies]
    if not any(saves_work(policy) for policy in made):
        raise ConfigError(f"policies = {[policy.name for policy in made]}: need at least one that saves work")
    for name, value in (("max_loss", max_loss), ("max_change", max_change)):
        if value is not None:
            check_amount(name, value)
    if limit is not None and (whole_number(limit) or 0) < 1:
        raise ConfigError(f"limit = {limit!r}: need a whole number, at least 1 sequence")
    arch = load_arch(arch) if isinstance(arch, str | Path) else arch
    precision = arch.precision if precision is None else precision
    given, arch = arch, arch.at_precision(precision)
    on_progress("reading", 0.0, "sequences without reuse")
    subject = subject_of(network_or_model, trace_or_inputs, evaluate, limit=limit, precision=precision)
    bound = _bound(subject, max_loss, max_change)
    advice = _advice(subject, arch, [policy for policy in made if saves_work(policy)], bound, precision, on_progress)
    on_progress("number formats", 0.0, "int8 and int4")
    formats = tuple(format_gains(subject, advice.best, given))
    on_progress("number formats", 1.0, f"{len(formats)} formats")
    return replace(advice, formats=formats)


def subject_of(model: Any, inputs: Any, evaluate: Any, *, limit: int | None, precision: str) -> Subject:
    """Return what is advised on; ConfigError for objects that do not go together."""
    if evaluate is not None and not callable(evaluate):
        raise ConfigError(f"evaluate is a {type(evaluate).__name__}: need a function that returns a number")
    if isinstance(model, OnnxModel):
        return OnnxSubject(model, inputs, evaluate, limit=limit, precision=precision)
    if not isinstance(model, Network | str | Path):
        return TorchSubject(model, inputs, evaluate, limit=limit, precision=precision)
    if evaluate is not None:
        raise ConfigError("evaluate: a network is scored by its own metric; a torch or ONNX model takes a function")
    network = model if isinstance(model, Network) else load_network(model)
    if not isinstance(inputs, Trace | str | Path):
        raise ConfigError(f"a network takes a trace, got a {type(inputs).__name__}: need a Trace, a name or a path")
    trace = inputs if isinstance(inputs, Trace) else load_trace(inputs)
    return NetworkSubject(network, trace, limit=limit, precision=precision)


def _bound(subject: Subject, max_loss: float | None, max_change: float | None) -> Bound:
    """Return the bound on the loss where there is one, else on the change; ConfigError for neither."""
    if max_loss is not None and subject.points is not None:
        return Bound(max_loss, subject.points)
    if max_change is not None:
        return Bound(max_change, None)
    if isinstance(subject, NetworkSubject):
        raise no_loss(subject.network, subject.trace)
    raise ConfigError(f"max_loss = {max_loss}, max_change = None: need max_change, or evaluate for max_loss")


def _advice(
    subject: Subject, arch: ArchSpec, policies: list[Policy], bound: Bound, precision: str, on_progress: StageCallback
) -> Advice:
    halves = subject.halves
    plain = subject.trial(NoReuse(), None, halves.judging)
    plain_result = plain.simulate(arch)
    on_progress("reading", 1.0, f"{len(halves.choosing)} + {len(halves.judging)} sequences")
    tried, most = 0, sum(GRID.for_policy(policy).max_tries for policy in policies)

    def on_trial() -> None:
        nonlocal tried
        tried += 1
        on_progress("policies", tried / most, f"{tried} of at most {most} runs")

    judged = [judge(ThetaChoice(subject, policy, bound, on_trial), arch, plain_result) for policy in policies]
    on_progress("policies", 1.0, f"{tried} runs")
    on_progress("layers", 0.0, "similarity of consecutive steps")
    parts = subject.parts(halves.judging)
    predictors = {policy.name: policy for policy in policies if isinstance(policy, PredictedPolicy)}
    similar = [layer for part in parts for layer in similarities(part, predictors, precision=precision)]
    on_progress("layers", 1.0, f"{len(similar)} layers")
    advice = Advice(subject, arch, bound, plain, plain_result, tuple(judged), tuple(similar))
    best = advice.best
    on_progress("what would help", 0.0, "simulations")
    if best is None:
        return replace(advice, remedies=tuple(looser_bounds(judged, plain, arch, bound)))
    assert best.trial is not None and best.result is not None
    names = [[layer.name for layer in part.network.layers] for part in parts]
    gains = tuple(layer_gains(best.trial, best.result, plain_result, names))
    helping = tuple(remedies(best, plain, parts, arch, bound))
    on_progress("what would help", 1.0, f"{len(helping)} simulations")
    return replace(advice, gains=gains, remedies=helping)
