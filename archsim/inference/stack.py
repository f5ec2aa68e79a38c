"""The encoder layers of a network over sequences that begin in given states, or over steps that come call by call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from archsim.activity import ActivityRecord, pass_shapes
from archsim.errors import NetworkError, TraceError
from archsim.inference.batch_runner import Keep
from archsim.inference.batching import Batch
from archsim.inference.comparison import output_change
from archsim.inference.encoder_run import EncoderRun, PassFactory, States
from archsim.inference.inputs import as_stored, initial_states
from archsim.inference.policy_parameters import Threshold, thresholds_for, zero_thresholds
from archsim.inference.run import InferenceResult, run_compared, run_workload
from archsim.inference.workload import Workload, is_fp16
from archsim.ir.layers import State
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.kernels.numerics.squares import add_squares
from archsim.policies import NoReuse, Policy, kind_of, saves_work
from archsim.traceio.starts import make_starts
from archsim.traceio.trace import Trace

STACK = "stack"
"""Name of the sequences of a call in messages."""


class StackRunner:
    """Runner of the recurrent layers alone, for models whose other parts are computed elsewhere.

    States are by (layer, direction), (S, H) each, a row per sequence; one that is not given is zero. Results depend
    neither on the other sequences of a call nor on `threads`.
    compare: whether to compute the change of the outputs against the run without reuse (SEMANTICS 1.5), which takes
    about as long again. Raises NetworkError for a network with a decoder, ConfigError for a θ that does not fit.
    """

    def __init__(
        self,
        network: Network,
        policy: Policy,
        threshold: Threshold = 0.0,
        *,
        precision: str = "fp16",
        compare: bool = True,
        threads: int | None = None,
    ) -> None:
        if network.decoder:
            raise NetworkError(f"{network.name} has a decoder, whose inputs are its own outputs: need an encoder alone")
        self.network = network if network.head is None else replace(network, head=None, metric=None)
        self.policy = policy
        self.threshold = threshold if policy.needs_threshold else 0.0
        self.thresholds = thresholds_for(network, policy, self.threshold)
        self.precision = precision
        self.fp16 = is_fp16(precision)
        self.compare = compare
        self.threads = threads
        self.passes = PassFactory(self.network, policy, self.thresholds, fp16=self.fp16)

    def run(
        self, sequences: Sequence[ArrayLike], starts: States | None = None, *, every_layer: bool = False
    ) -> InferenceResult:
        """Run whole sequences, (T, I) each; return outputs, states at their ends (`ends`), decisions and squares.

        Raises TraceError for inputs or states that are not finite, or that do not fit the network.
        """
        trace = Trace.from_arrays(sequences, name=STACK)
        trace = trace.starting_in(starts) if starts else trace
        workload = Workload.for_pair(self.network, trace, self.policy, precision=self.precision)
        keep = Keep(outputs=True, layers=every_layer, ends=True)
        if self.compare:
            return run_compared(workload, self.policy, self.thresholds, keep=keep, threads=self.threads)
        return run_workload(workload, self.policy, self.threshold, keep=keep, threads=self.threads)

    def begin(self, n_sequences: int, starts: States | None = None) -> RunningStack:
        """Begin sequences whose steps come call by call; NetworkError for a network with a reverse direction."""
        return RunningStack(self, n_sequences, starts or {})


class RunningStack:
    """Sequences in progress: each call advances all of them, and states and memos live on until the next call."""

    def __init__(self, runner: StackRunner, n_sequences: int, starts: States) -> None:
        network = runner.network
        if any(direction.reverse for layer in network.layers for direction in layer.directions):
            raise NetworkError(f"{network.name} has a reverse direction, which needs whole sequences: use run")
        checked = initial_states(network, STACK, make_starts(STACK, n_sequences, starts), fp16=runner.fp16)
        self.runner = runner
        self.n_sequences = n_sequences
        self.n_steps = 0
        self.encoder = EncoderRun(runner.passes, n_sequences, checked, pool=None)
        self.plain: EncoderRun | None = None
        if runner.compare and saves_work(runner.policy):
            passes = PassFactory(network, NoReuse(), zero_thresholds(network), fp16=runner.fp16)
            self.plain = EncoderRun(passes, n_sequences, checked, pool=None)
        self.squares = np.zeros((n_sequences, 2))

    def advance(self, x: F32) -> F32:
        """Run one step from x (B, I), or several from (T, B, I); return the top layer's outputs, of as many axes.

        Raises TraceError for inputs of another shape, or that are not finite.
        """
        steps = self._checked(x)
        values = as_stored(STACK, steps.reshape(-1, steps.shape[2]), fp16=self.runner.fp16)
        window = self._batch(len(steps), self.n_steps)
        outputs = self.encoder.advance(window, values)[-1]
        if self.plain is not None:
            add_squares(self.plain.advance(window, values)[-1], outputs, window.active, self.squares)
        self.n_steps += len(steps)
        return outputs.reshape(*x.shape[:-1], -1)

    @property
    def states(self) -> dict[tuple[int, int], State]:
        """States after the last step, (B, H), by layer and direction."""
        return {key: State(state.h.copy(), state.c.copy()) for key, state in self.encoder.states.items()}

    def finish(self) -> InferenceResult:
        """Return decisions, end states and squares of all steps; outputs have been returned call by call."""
        batch, policy = self._batch(self.n_steps, 0), self.runner.policy
        shapes = pass_shapes(self.runner.network)
        change = 0.0 if self.runner.compare and not saves_work(policy) else None
        decisions = self.encoder.decisions(batch)
        activity = ActivityRecord(shapes, decisions, saves_work(policy), kind_of(policy).decides)
        done = InferenceResult(activity, None, None, None, None, ends=self.states, output_change=change)
        if self.plain is None:
            return done
        plain = ActivityRecord(shapes, self.plain.decisions(batch), reuses=False)
        without = InferenceResult(plain, None, None, None, None)
        change = output_change(self.squares)
        return replace(done, squares=self.squares.copy(), without_reuse=without, output_change=change)

    def _batch(self, n_steps: int, start: int) -> Batch:
        return Batch.of(np.arange(self.n_sequences), np.full(self.n_sequences, n_steps), start)

    def _checked(self, x: F32) -> F32:
        need = f"({self.n_sequences}, {self.runner.network.input_size})"
        steps = x[None] if x.ndim == 2 else x
        if x.dtype != np.float32 or steps.ndim != 3 or not len(steps) or f"{steps.shape[1:]}" != need:
            raise TraceError(f"{STACK}: inputs are {x.dtype} of shape {x.shape}, need float32 of {need} per step")
        if not np.isfinite(x).all():
            raise TraceError(f"{STACK}: step {self.n_steps} or later holds NaN or infinite inputs, need finite numbers")
        return steps
