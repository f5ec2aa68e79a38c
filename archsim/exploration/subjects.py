"""Objects that are explored: networks, traces and models, written into the folder of results for the workers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from archsim.calibration import with_missing_scales
from archsim.calibration.scored import finite_loss
from archsim.corpora.catalogue import load_trace
from archsim.errors import ConfigError
from archsim.exploration.candidates import NONE
from archsim.exploration.threshold_search import CHANGE, LOSS, Bound, UserLoss
from archsim.files import make_folder
from archsim.inference.measure import ranged
from archsim.inference.run import run_inference
from archsim.ir.folder import load_network
from archsim.ir.network import Network
from archsim.ir.saving import save_network
from archsim.live.onnx_model import OnnxModel
from archsim.live.session import Session
from archsim.live.torch_session import attach
from archsim.policies import policy_from
from archsim.reading import is_there
from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace

INPUTS = "inputs"
"""Folder of the objects that are explored."""
DIGITS = 12
"""Digits of a digest in a name. Another object gets another name, so that nothing is overwritten."""
Loss = Callable[[Any], Any]


@dataclass(frozen=True)
class Subject:
    """Network and trace by name or path, with the user's loss of a policy at a θ in a precision, if there is one."""

    network: str | Path
    trace: str | Path | None
    loss: UserLoss | None


def bound_of(max_loss: float | None, max_change: float | None, margin: float) -> Bound:
    """Return the bound that is given, by default one point of loss; ConfigError for both."""
    if max_change is None:
        return Bound(1.0 if max_loss is None else max_loss, margin, LOSS)
    if max_loss is not None:
        raise ConfigError(f"max_loss = {max_loss} and max_change = {max_change}: need one of them")
    return Bound(max_change, margin, CHANGE)


def check_objects(network: Any, trace: Any, loss: Loss | None, *, split: str | None, limit: int | None) -> None:
    """Raise ConfigError, before anything is written, for objects that do not go together."""
    if loss is not None and not callable(loss):
        raise ConfigError(f"loss is a {type(loss).__name__}: need a function that returns a number, lower is better")
    if (isinstance(trace, Trace) or loss is not None) and (split is not None or limit is not None):
        raise ConfigError(f"split = {split!r}, limit = {limit!r}: need a trace that is cut already, as trace.limit(10)")
    if isinstance(network, OnnxModel):
        if trace is None or isinstance(trace, Trace | str | Path):
            raise ConfigError("explore: an ONNX model needs trace = its feeds, a list with one dictionary per call")
    elif isinstance(network, Network | str | Path):
        if trace is None and (loss is not None or isinstance(network, Network)):
            raise ConfigError("explore: a network given as an object, or with a loss, needs a trace")
    elif loss is None or trace is not None:
        raise ConfigError("explore: a torch model needs a loss, and no trace: its own inputs are recorded")


def written(network: Any, trace: Any, loss: Loss | None, folder: Path, precision: str) -> Subject:
    """Return the subject by name, objects written below `folder`; losses are next to no reuse in `precision`."""
    user_loss = None
    if isinstance(network, OnnxModel):
        network, trace, user_loss = _recorded_onnx(network, trace, loss, precision)
    elif not isinstance(network, Network | str | Path):
        assert loss is not None, "checked"
        network, trace, user_loss = _recorded(network, loss, precision)
    elif loss is not None:
        network, trace = _network(network), trace if isinstance(trace, Trace) else load_trace(trace)
        user_loss = _loss_of_outputs(network, trace, loss, precision)
    if isinstance(network, Network):
        loaded = trace if isinstance(trace, Trace) else load_trace(trace)
        measured = with_missing_scales(network, loaded)
        everything = f"{network.digest} {measured.scales} {network.thresholds}"
        place = _place(folder, f"network-{hashlib.sha256(everything.encode()).hexdigest()[:DIGITS]}")
        network = place if is_there(place) else save_network(measured, place)
    if isinstance(trace, Trace):
        place = _place(folder, f"trace-{trace.digest[:DIGITS]}.npz")
        if not is_there(place):
            write_trace(trace, place)
        trace = place
    return Subject(network, trace, user_loss)


def _network(network: Network | str | Path) -> Network:
    return network if isinstance(network, Network) else load_network(network)


def _place(folder: Path, name: str) -> Path:
    make_folder(folder / INPUTS)
    return folder / INPUTS / name


def _loss_of_outputs(network: Network, trace: Trace, loss: Loss, reference: str) -> UserLoss:
    """Return the loss of the outputs that a policy gives, next to that without reuse."""
    scaled = with_missing_scales(network, trace)

    @cache
    def value(policy: str, threshold: float, precision: str) -> float:
        own = ranged(scaled, trace, precision)
        return finite_loss(loss(run_inference(own, trace, policy_from(policy), threshold, precision=precision).outputs))

    return lambda policy, threshold, precision: value(policy, threshold, precision) - value(NONE, 0.0, reference)


def _recorded(model: Any, loss: Loss, reference: str) -> tuple[Network, Trace, UserLoss]:
    """Return what a torch model's only recurrent module is and was given, and the loss of the model under a policy."""
    with attach(model, NONE, compare=False) as session:
        plain = finite_loss(loss(model))
    network, trace = _only_part(session)

    @cache
    def value(policy: str, threshold: float, precision: str) -> float:
        if (policy, precision) == (NONE, "fp16"):
            return plain
        with attach(model, policy, threshold, precision, scales=network.scales, compare=False):
            return finite_loss(loss(model))

    def lost(policy: str, threshold: float, precision: str) -> float:
        return value(policy, threshold, precision) - value(NONE, 0.0, reference)

    return network, trace, lost


def _recorded_onnx(
    model: OnnxModel, feeds: Any, loss: Loss | None, reference: str
) -> tuple[Network, Trace, UserLoss | None]:
    """Return what an ONNX model's only recurrent part is and was given, and the loss of its outputs under a policy."""
    plain = model.run(feeds, NONE, compare=False)
    network, trace = _only_part(plain.session)
    if loss is None:
        return network, trace, None
    plain_loss = finite_loss(loss(plain.outputs))

    @cache
    def value(policy: str, threshold: float, precision: str) -> float:
        if (policy, precision) == (NONE, "fp16"):
            return plain_loss
        run = model.run(feeds, policy, threshold, precision, scales=network.scales, compare=False)
        return finite_loss(loss(run.outputs))

    def lost(policy: str, threshold: float, precision: str) -> float:
        return value(policy, threshold, precision) - value(NONE, 0.0, reference)

    return network, trace, lost


def _only_part(session: Session) -> tuple[Network, Trace]:
    """Return the network, with its scales, and the trace of a session's only part; ConfigError if it has several."""
    network, trace = session.network, session.trace
    if not isinstance(network, Network) or not isinstance(trace, Trace):
        names = ", ".join(session.parts)
        raise ConfigError(f"explore: the model has several recurrent parts ({names}): explore one part's network")
    return with_missing_scales(network, trace), trace
