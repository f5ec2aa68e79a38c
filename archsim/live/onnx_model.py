"""An ONNX model end to end: recurrent nodes computed here, everything around them by ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from archsim.calibration.scored import CalibratedThreshold
from archsim.calibration.theta_search import OnTrial, theta_search
from archsim.config.arch import ArchSpec
from archsim.errors import ConfigError, NetworkError, TraceError
from archsim.experiment.result import Result
from archsim.importers.onnx_graph import Array, open_session, run_session
from archsim.importers.onnx_import import WAY_OUT, OnnxImport
from archsim.importers.table import ImportTable
from archsim.inference.comparison import output_change
from archsim.inference.policy_parameters import Threshold
from archsim.ir.network import Scales
from archsim.live.frames import MEMORY_BYTES, FrameStore
from archsim.live.onnx_calibrate import Loss, OnnxTrials
from archsim.live.onnx_feeds import Feed, FeedChecker
from archsim.live.onnx_parts import NodeComputer
from archsim.live.onnx_plan import OnnxPart, Plan, parts_of
from archsim.live.onnx_states import carried_states, takes_carried
from archsim.live.part import Part
from archsim.live.result import SumResult
from archsim.live.runners import PartRunners
from archsim.live.session import Session
from archsim.policies import Policy, policy_from
from archsim.sim.machines import Detail


class OnnxRun:
    """Outputs of a model on some feeds, and what went through its recurrent parts."""

    def __init__(self, outputs: list[Feed], session: Session, arch: ArchSpec | str | Path) -> None:
        self.outputs = outputs
        """Outputs of the model by name, one dictionary per call."""
        self.session = session
        """Recurrent parts with their inputs, decisions and output change."""
        self.arch = arch

    def __str__(self) -> str:
        return str(self.session)

    @cached_property
    def result(self) -> Result | SumResult:
        """Time and energy of all recurrent parts on the machine of the run, simulated at the first use."""
        return self.simulate(self.arch)

    def simulate(
        self, arch: ArchSpec | str | Path = "epur", detail: Detail = "block", seed: int = 0
    ) -> Result | SumResult:
        """Return time and energy of all recurrent parts on a machine; see `Session.simulate`.

        Raises TraceError if no recurrent node has run, as in a branch that was not taken.
        """
        if not self.session.called:
            names = ", ".join(self.session.parts)
            raise TraceError(f"none of {names} has run: the feeds take other branches, so there is nothing to simulate")
        return self.session.simulate(arch, detail, seed)


def differences(outputs: Sequence[Feed], others: Sequence[Feed]) -> dict[str, float | None]:
    """Return sqrt(Σ (a - b)² / Σ b²) of outputs a and others b over all calls, by name.

    None stands for outputs of two shapes, for text, and for others that are all zero.
    """
    squares = {name: [_squares(a[name], b[name]) for a, b in zip(outputs, others, strict=True)] for name in outputs[0]}
    return {name: output_change(np.array(rows)) for name, rows in squares.items()}


def _squares(a: Array, b: Array) -> tuple[float, float]:
    if a.shape != b.shape or a.dtype.kind not in "fiub":
        return math.nan, math.nan
    ours, theirs = a.astype(np.float64), b.astype(np.float64)
    return float(np.square(ours - theirs).sum()), float(np.square(theirs).sum())


class OnnxModel:
    """Model of an ONNX file whose recurrent nodes (LSTM, GRU, RNN, DynamicQuantizeLSTM) are computed here.

    Everything before, between and after them runs in ONNX Runtime; `print` shows which is which. Raises NetworkError
    for a file that is no model, for a model without recurrent nodes, and for nodes that are refused, with all reasons.
    """

    def __init__(self, path: str | Path) -> None:
        self._found = OnnxImport(path)
        self.path = self._found.path
        if self._found.refused:
            refused = "; ".join(node.message for node in self._found.refused)
            raise NetworkError(f"{self.path}: {refused}; {WAY_OUT}")
        main = self._found.file.main
        self.parts = parts_of(self._found.stacks)
        """Recurrent nodes that are computed as one network each."""
        self.carried = carried_states(main, [node for part in self.parts for node in part.nodes])
        """Outputs by the input that takes them in the next call: the states of an export of one time step."""
        self._feeds = FeedChecker(main, self.carried)
        self._plan = Plan(main, self.parts)
        self._networks = {part: self._found.network(part.nodes, part.name, with_states=True) for part in self.parts}

    def __str__(self) -> str:
        return str(self.table)

    @cached_property
    def table(self) -> ImportTable:
        """Table of all nodes: simulated here, or left outside to ONNX Runtime."""
        return self._found.table()

    def read_feeds(self, path: str | Path) -> list[Feed]:
        """Return the feeds of a `.npz` file for `run`: arrays `NAME/0`, `NAME/1`, ... by call, or `NAME` for all.

        Raises TraceError with the file and the array.
        """
        return self._feeds.read(Path(path))

    def run(
        self,
        feeds: Sequence[Mapping[str, Any]],
        policy: Policy | str = "bnn",
        threshold: Threshold | Mapping[str, Threshold] | None = None,
        precision: str = "fp16",
        *,
        arch: ArchSpec | str | Path = "epur",
        scales: Scales | Mapping[str, Scales] | None = None,
        compare: bool = True,
        memory_bytes: int = MEMORY_BYTES,
    ) -> OnnxRun:
        """Run the model on feeds, one dictionary of its inputs per call; its recurrent nodes reuse by a policy.

        Each row of a batch is a sequence. A model that gives out its state and takes it in again runs on from call to
        call: a feed that leaves the state out continues with that of the call before, and so does one that gives the
        same state; memos live on meanwhile.

        threshold: θ for all recurrent nodes, or by name of the part; needed unless the policy has none.
        arch: machine of `run.result`.
        scales: those of inputs, for all or by name; needed by policies that quantise inputs, unless θ comes from
        `calibrate`, which has measured them.
        compare: whether to measure the output change of the parts, which takes as long again.
        memory_bytes: recorded inputs that stay in memory; more go to a temporary folder.
        Raises TraceError with call and input for feeds that the model does not take.
        """
        checked = self._feeds.check(feeds)
        runners = PartRunners(policy_from(policy), threshold, scales, precision, compare)
        frames, names = FrameStore(memory_bytes), [part.name for part in self.parts]
        computers = {}
        for nodes in self.parts:
            continues = all(takes_carried(node, self.carried) for node in nodes.nodes)
            part = Part(nodes.name, runners.runner(self._networks[nodes], names), frames)
            computers[nodes] = NodeComputer(nodes, part, continues=continues)

        def compute(part: OnnxPart, values: Mapping[str, Array]) -> dict[str, Array]:
            return computers[part].compute(values)

        outputs = self._call_after_call(checked, lambda feed: self._plan.run(feed, compute))
        parts = [computer.part for computer in computers.values()]
        for part in parts:
            part.end()
        return OnnxRun(outputs, Session(parts, self.table), arch)

    def calibrate(
        self,
        feeds: Sequence[Mapping[str, Any]],
        loss: Loss | None = None,
        *,
        policy: Policy | str = "bnn",
        max_loss: float | None = None,
        max_change: float | None = None,
        highest: float = 4.0,
        resolution: float = 0.01,
        precision: str = "fp16",
        log: str | Path | None = None,
        progress: bool = True,
        on_trial: OnTrial = lambda record: None,
    ) -> CalibratedThreshold:
        """Return the largest θ up to which no tried θ costs more than a bound: a number, with `log` of all tried.

        loss: function of `run.outputs` that returns one number, lower is better. max_loss: amount by which it may rise
        over that without reuse, by default 1. max_change: share that the outputs of the recurrent nodes may change
        (SEMANTICS 1.5), where there is no loss. log: CSV file of θ against loss or change, rewritten after each trial.
        progress: draw a bar if standard error is a terminal. Choose on training or validation data only.
        Raises ConfigError if there is no θ to choose, no `loss` for `max_loss`, or even θ = 0 costs too much.
        """
        search = theta_search(
            policy,
            max_loss,
            max_change,
            highest=highest,
            resolution=resolution,
            precision=precision,
            log=log,
            progress=progress,
            on_trial=on_trial,
        )
        if loss is None and search.bound.max_change is None:
            raise ConfigError("loss is missing: need a function of the outputs that returns a number, or max_change")
        trials = OnnxTrials(self, self._feeds.check(feeds), loss, search)
        return search.over(trials.run).with_scales(trials.scales)

    def runtime_outputs(self, feeds: Sequence[Mapping[str, Any]]) -> list[Feed]:
        """Return the outputs of the model as it is, computed by ONNX Runtime alone, one dictionary per call.

        Raises NetworkError for a model that the runtime does not run, as one with nodes of `layout` 1.
        """
        checked, names = self._feeds.check(feeds), self._plan.outputs
        session = open_session(str(self.path), str(self.path))
        return self._call_after_call(checked, lambda feed: run_session(session, names, feed, str(self.path)))

    def difference(self, feeds: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Return how far the outputs without reuse in fp32 are from those of ONNX Runtime, by output.

        A difference is sqrt(Σ (ours - theirs)² / Σ theirs²) over all calls; None for an output that has none. Rounding
        explains 1e-4; a quantised operator explains more, because its weights are dequantised here.
        """
        return differences(self.run(feeds, "none", precision="fp32").outputs, self.runtime_outputs(feeds))

    def _call_after_call(self, feeds: Sequence[Feed], run: Callable[[Feed], list[Array]]) -> list[Feed]:
        """Run calls in turn; an input of the state that a feed leaves out is the output of the call before."""
        outputs: list[Feed] = []
        for feed in feeds:
            carried = {name: outputs[-1][output] for name, output in self.carried.items() if name not in feed}
            outputs.append(dict(zip(self._plan.outputs, run(feed | carried), strict=True)))
        return outputs
