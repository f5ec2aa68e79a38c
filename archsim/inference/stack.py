"""The encoder layers of a network over sequences that begin in given states, or over steps that come call by call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from archsim.activity import ActivityRecord, PassKey, pass_shapes
from archsim.cores import cores, run_parallel, thread_pool
from archsim.errors import NetworkError, TraceError
from archsim.inference.batch_runner import Keep
from archsim.inference.batching import Batch
from archsim.inference.comparison import output_change
from archsim.inference.encoder_run import EncoderRun, PassFactory, States
from archsim.inference.inputs import as_stored, initial_states
from archsim.inference.policy_parameters import Threshold, thresholds_for, zero_thresholds
from archsim.inference.precision import arithmetic_of
from archsim.inference.run import InferenceResult, run_compared, run_workload
from archsim.inference.workload import Workload
from archsim.ir.layers import State
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, F64, U8
from archsim.kernels.numerics.squares import add_squares
from archsim.policies import NoReuse, Policy, kind_of, saves_work
from archsim.traceio.starts import make_starts
from archsim.traceio.trace import Trace
from archsim.units import ceil_div

LEAST_ROWS = 4
"""Fewest sequences that a thread takes for itself, because the kernel of products takes four rows at a time."""
FEW_ROWS = 256
"""Rows (steps times sequences) of a call that are run without other threads."""


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
        self.fp16 = arithmetic_of(precision).fp16
        # Nothing has to be computed to know that a policy that reuses nothing changes nothing.
        self.compare = compare or not saves_work(policy)
        self.n_threads = threads or cores()
        self.passes = PassFactory(self.network, policy, self.thresholds, precision=precision)
        self.plain: PassFactory | None = None
        """Passes without reuse, where they are compared."""
        if compare and saves_work(policy):
            self.plain = PassFactory(self.network, NoReuse(), zero_thresholds(self.network), precision=precision)

    def run(
        self, sequences: Sequence[ArrayLike], starts: States | None = None, *, every_layer: bool = False
    ) -> InferenceResult:
        """Run whole sequences, (T, I) each; return outputs, states at their ends (`ends`), decisions and squares.

        Raises TraceError for inputs or states that are not finite, or that do not fit the network.
        """
        trace = Trace.from_arrays(sequences, name=self.network.name)
        trace = trace.starting_in(starts) if starts else trace
        workload = Workload.for_pair(self.network, trace, self.policy, precision=self.precision)
        keep = Keep(outputs=True, layers=every_layer, ends=True)
        if self.compare:
            return run_compared(workload, self.policy, self.thresholds, keep=keep, threads=self.n_threads)
        return run_workload(workload, self.policy, self.threshold, keep=keep, threads=self.n_threads)

    def begin(self, n_sequences: int, starts: States | None = None) -> RunningStack:
        """Begin sequences whose steps come call by call; NetworkError for a network with a reverse direction."""
        return RunningStack(self, n_sequences, starts or {})


class RunningStack:
    """Sequences in progress: each call advances all of them, and states and memos live on until the next call."""

    def __init__(self, runner: StackRunner, n_sequences: int, starts: States) -> None:
        network = runner.network
        if any(direction.reverse for layer in network.layers for direction in layer.directions):
            raise NetworkError(f"{network.name} has a reverse direction, which needs whole sequences: use run")
        given = make_starts(network.name, n_sequences, starts)
        checked = initial_states(network, network.name, given, fp16=runner.fp16)
        self.runner = runner
        self.n_sequences = n_sequences
        self.n_steps = 0
        self.squares = np.zeros((n_sequences, 2))
        n_pieces = min(runner.n_threads, ceil_div(n_sequences, LEAST_ROWS))
        cuts = [n_sequences * i // n_pieces for i in range(n_pieces + 1)]
        rows = [slice(first, last) for first, last in pairwise(cuts)]
        self.pieces = [_Piece(runner, checked, piece, self.squares[piece]) for piece in rows]

    def advance(self, x: F32) -> F32:
        """Run one step from x (B, I), or several from (T, B, I); return the top layer's outputs, of as many axes.

        Raises TraceError for inputs of another shape, or that are not finite.
        """
        steps = self._checked(x)
        steps = as_stored(self.runner.network.name, steps.reshape(-1), fp16=self.runner.fp16).reshape(steps.shape)
        tasks = [partial(piece.advance, steps, self.n_steps) for piece in self.pieces]
        # To begin threads takes longer than a few rows.
        threads = self.runner.n_threads if len(steps) * self.n_sequences > FEW_ROWS and len(tasks) > 1 else 1
        with thread_pool(threads) as pool:
            outputs = np.concatenate(run_parallel(pool, tasks), axis=1)
        self.n_steps += len(steps)
        return outputs.reshape(*x.shape[:-1], -1)

    @property
    def states(self) -> dict[PassKey, State]:
        """States after the last step, (B, H), by layer and direction."""
        pieces = [piece.encoder.states for piece in self.pieces]
        return {key: State(*map(np.concatenate, zip(*(p[key] for p in pieces), strict=True))) for key in pieces[0]}

    def finish(self) -> InferenceResult:
        """Return decisions, end states and squares of all steps so far; outputs have been returned call by call."""
        policy = self.runner.policy
        shapes, kind = pass_shapes(self.runner.network), kind_of(policy).decides
        reusing = [piece.encoder.decisions(piece.batch(self.n_steps, 0)) for piece in self.pieces]
        activity = ActivityRecord(shapes, _merged(reusing), saves_work(policy), kind)
        done = InferenceResult(activity, None, None, None, None, ends=self.states)
        plain = [piece.plain.decisions(piece.batch(self.n_steps, 0)) for piece in self.pieces if piece.plain]
        if not plain:
            return replace(done, output_change=0.0 if self.runner.compare else None)
        without = InferenceResult(ActivityRecord(shapes, _merged(plain), reuses=False), None, None, None, None)
        squares = self.squares.copy()
        return replace(done, squares=squares, without_reuse=without, output_change=output_change(squares))

    def _checked(self, x: F32) -> F32:
        where, need = self.runner.network.name, (self.n_sequences, self.runner.network.input_size)
        steps = x[None] if x.ndim == 2 else x
        if x.dtype != np.float32 or steps.ndim != 3 or not len(steps) or steps.shape[1:] != need:
            raise TraceError(f"{where}: inputs are {x.dtype} of shape {x.shape}, need float32 of {need} per step")
        if not np.isfinite(x).all():
            raise TraceError(f"{where}: step {self.n_steps} or later holds NaN or infinite inputs, need finite numbers")
        return steps


class _Piece:
    """Some of the sequences of a running stack, which one thread advances, with and without reuse."""

    def __init__(self, runner: StackRunner, starts: States, rows: slice, squares: F64) -> None:
        own = {key: State(state.h[rows], state.c[rows]) for key, state in starts.items()}
        self.rows = rows
        self.size = rows.stop - rows.start
        self.squares = squares
        self.encoder = EncoderRun(runner.passes, self.size, own, pool=None)
        self.plain = None if runner.plain is None else EncoderRun(runner.plain, self.size, own, pool=None)

    def batch(self, n_steps: int, start: int) -> Batch:
        """Return the batch of these sequences over steps `start`, `start` + 1, ..."""
        return Batch.of(np.arange(self.size), np.full(self.size, n_steps), start)

    def advance(self, steps: F32, start: int) -> F32:
        """Run steps (T, B, I) of all sequences; return the top layer's outputs (T, rows, D·H) of these."""
        window, values = self.batch(len(steps), start), steps[:, self.rows].reshape(-1, steps.shape[2])
        outputs = self.encoder.advance(window, values)[-1]
        if self.plain is not None:
            add_squares(self.plain.advance(window, values)[-1], outputs, window.active, self.squares)
        return outputs.reshape(len(steps), self.size, -1)


def _merged(pieces: list[dict[PassKey, list[U8]]]) -> dict[PassKey, list[U8]]:
    """Return the decisions of all pieces, sequence by sequence."""
    return {key: [bits for piece in pieces for bits in piece[key]] for key in pieces[0]}
