"""A network and a trace, made ready once for runs under many policies and θ."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from archsim.activity import PassKey
from archsim.inference.batching import Batch
from archsim.inference.decoding import DecoderWeights
from archsim.inference.head import metric_for
from archsim.inference.inputs import Inputs, initial_states
from archsim.inference.precision import arithmetic_of
from archsim.inference.weights import check_fp16_range
from archsim.ir.heads import AttentionDecoder
from archsim.ir.layers import State
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.policies import Policy, kind_of, saves_work
from archsim.traceio.trace import Trace

if TYPE_CHECKING:
    from archsim.inference.comparison import CachedRun

T = TypeVar("T")

CACHE_BYTES = 1 << 29
"""Most bytes of input products, and of outputs without reuse, that are cached where several runs are expected."""
PAIR_BYTES = 1 << 28
"""Most bytes of input products that are cached from a policy's run for the run without reuse beside it."""


class ByteCache(Generic[T]):
    """Thread-safe cache of values by key. It evicts nothing and refuses what no longer fits."""

    def __init__(self, limit_bytes: int) -> None:
        self.free_bytes = limit_bytes
        self._values: dict[Hashable, T] = {}
        self._lock = Lock()

    def find(self, key: Hashable) -> T | None:
        """Return the value of this key, or None where it was not kept."""
        return self._values.get(key)

    def keep(self, key: Hashable, value: T, n_bytes: int) -> None:
        """Keep a value if there is room for it and its key is new."""
        with self._lock:
            if n_bytes <= self.free_bytes and key not in self._values:
                self.free_bytes -= n_bytes
                self._values[key] = value


class ArrayCache(ByteCache[F32]):
    """Cache of arrays computed once per key. With `once`, an array is dropped when it is first found, to make room."""

    def __init__(self, limit_bytes: int, *, once: bool = False) -> None:
        super().__init__(limit_bytes)
        self.once = once

    def get(self, key: Hashable, compute: Callable[[], F32]) -> F32:
        """Return the array of this key, computed if it is not kept; the caller may overwrite it."""
        if self.once and (taken := self._take(key)) is not None:
            return taken
        if (kept := self.find(key)) is not None:
            return kept.copy()
        computed = compute()
        if computed.nbytes <= self.free_bytes:
            self.keep(key, computed.copy(), computed.nbytes)
        return computed

    def _take(self, key: Hashable) -> F32 | None:
        with self._lock:
            taken = self._values.pop(key, None)
            self.free_bytes += 0 if taken is None else taken.nbytes
            return taken


class Workload:
    """Parts of a run that depend on neither policy nor θ: prepared inputs, the decoder's head, the metric.

    cache_bytes: limit of each of two caches, one of the first layer's input products and one of runs without reuse.
    once: the workload serves one run of a policy and the run without reuse beside it, so cached products are dropped
    when the second of the two has read them. Raises TraceError for inputs that the network does not take.
    """

    def __init__(
        self, network: Network, trace: Trace, *, precision: str = "fp16", cache_bytes: int = 0, once: bool = False
    ) -> None:
        self.network = network
        self.precision = arithmetic_of(precision)
        self.inputs = Inputs(network, trace, fp16=self.precision.fp16)
        self.trace = self.inputs.trace
        self.starts = initial_states(network, f"trace {trace.name}", trace.starts or (), fp16=self.precision.fp16)
        self.metric = metric_for(network, self.trace)
        self.input_products = ArrayCache(cache_bytes, once=once)
        self.plain_runs: ByteCache[CachedRun] = ByteCache(0 if once else cache_bytes)
        """Runs without reuse by the sequences of a batch, for policies compared with them."""

    @classmethod
    def for_pair(cls, network: Network, trace: Trace, policy: Policy, *, precision: str) -> Workload:
        """Return the workload of a policy's run and of the one without reuse beside it."""
        shares = saves_work(policy) and kind_of(policy).makes_products_ahead
        return cls(network, trace, precision=precision, cache_bytes=PAIR_BYTES if shares else 0, once=True)

    def starts_of(self, batch: Batch) -> dict[PassKey, State]:
        """Return the initial states of a batch's sequences by layer and direction, those that the trace has."""
        rows = batch.sequences
        return {key: State(state.h[rows], state.c[rows]) for key, state in self.starts.items()}

    @cached_property
    def decoder(self) -> DecoderWeights | None:
        """Decoder head and embedding table laid out for kernels; None for a network that does not decode."""
        network = self.network
        if not isinstance(network.head, AttentionDecoder) or not network.embedding:
            return None
        if self.precision.fp16:
            check_fp16_range(f"{network.name}: embedding", network.embedding.table)
        return DecoderWeights(network.head, network.embedding.table)
