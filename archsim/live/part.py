"""One attached part of a model: its layers computed here, and a record of what goes through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from archsim.activity import PassKey
from archsim.errors import TraceError
from archsim.inference.encoder_run import States
from archsim.inference.run import InferenceResult
from archsim.inference.stack import RunningStack, StackRunner
from archsim.ir.layers import State
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.live.frames import FrameStore
from archsim.live.recording import Recorded, figures, joined_inference, joined_trace, nonzero
from archsim.ownership import own
from archsim.traceio.trace import Trace

PartRecord = dict[str, str | int | float | None]


class Part:
    """Part of a model, computed as the machine would, call by call.

    Sequences come whole (`run`) or some steps per call (`begin`, then `advance`). `trace`, `inference` and `record`
    are of all calls so far, those of sequences in progress included.
    """

    def __init__(self, name: str, runner: StackRunner, frames: FrameStore) -> None:
        self.name = name
        self.runner = runner
        self.calls = 0
        """Number of calls so far."""
        self.frames = frames
        self._done: list[tuple[list[int], Recorded]] = []
        """Numbers of the sequences in `frames`, and the rest of each record."""
        self._open: _InProgress | None = None

    @property
    def network(self) -> Network:
        """Layers of the part, with the weights that they had when the part was attached."""
        return self.runner.network

    def run(self, sequences: Sequence[F32], starts: States | None = None) -> InferenceResult:
        """Run whole sequences, (T, I) each, and record them; return outputs and end states."""
        kept = [own(sequence, np.float32) for sequence in sequences]
        result = self.runner.run(kept, starts)
        self.end()
        self._keep(Recorded(kept, nonzero(starts), result))
        self.calls += 1
        return result

    def begin(self, n_sequences: int, starts: States | None = None) -> None:
        """Begin sequences whose steps come by `advance`; those in progress end."""
        running = self.runner.begin(n_sequences, starts)
        self.end()
        self._open = _InProgress(running, nonzero(starts))

    def advance(self, x: F32) -> F32:
        """Run one step (B, I) or several (T, B, I) of the sequences in progress; return the top layer's outputs."""
        assert self._open is not None, "begin() comes first"
        outputs = self._open.advance(x)
        self.calls += 1
        return outputs

    @property
    def states(self) -> dict[PassKey, State]:
        """States after the last step of the sequences in progress."""
        assert self._open is not None, "begin() comes first"
        return self._open.running.states

    @property
    def trace(self) -> Trace:
        """Inputs and initial states of all calls so far; TraceError if there was none."""
        return joined_trace(self.name, self._recorded())

    @property
    def inference(self) -> InferenceResult:
        """Decisions and output change of all calls so far; TraceError if there was no call."""
        return joined_inference(self.network, self.runner.policy, self._recorded())

    @property
    def record(self) -> PartRecord:
        """Reuse and output change so far, with the keys of a run's record; None where there was no call."""
        inference = self.inference if self.calls else None
        return {"part": self.name, "calls": self.calls, **figures([inference] if inference else [])}

    def _recorded(self) -> list[Recorded]:
        done = [replace(call, sequences=[self.frames[i] for i in numbers]) for numbers, call in self._done]
        if self._open is not None and self._open.steps:
            done.append(self._open.recorded())
        if not done:
            raise TraceError(f"nothing has gone through {self.name} yet: run the model inside the with block")
        return done

    def end(self) -> None:
        """End the sequences in progress, whose record moves to where it may go to a file."""
        if self._open is not None and self._open.steps:
            self._keep(self._open.recorded())
        self._open = None

    def _keep(self, call: Recorded) -> None:
        numbers = [self.frames.add(sequence) for sequence in call.sequences]
        # The caller has the outputs; a run without reuse is known by its lengths.
        result = replace(call.result, outputs=None, without_reuse=None, ends={})
        self._done.append((numbers, replace(call, sequences=(), result=result)))


class _InProgress:
    """Sequences whose steps come call by call, and their inputs so far."""

    def __init__(self, running: RunningStack, starts: States) -> None:
        self.running = running
        self.starts = starts
        self.steps: list[F32] = []
        """Inputs per call, (T, B, I)."""

    def advance(self, x: F32) -> F32:
        """Run the steps of a call; return the top layer's outputs."""
        outputs = self.running.advance(x)
        self.steps.append(own(x if x.ndim == 3 else x[None], np.float32))
        return outputs

    def recorded(self) -> Recorded:
        """Return the sequences so far."""
        steps = np.concatenate(self.steps)
        return Recorded([own(steps[:, b]) for b in range(steps.shape[1])], self.starts, self.running.finish())
