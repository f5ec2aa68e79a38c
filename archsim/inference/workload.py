"""A network and a trace, ready to be run under one policy and threshold after the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from archsim.errors import ConfigError
from archsim.inference.decoding import DecoderWeights
from archsim.inference.head import metric_for
from archsim.inference.inputs import Inputs
from archsim.inference.weights import check_fp16_range
from archsim.ir.heads import AttentionDecoder
from archsim.ir.network import Network
from archsim.kernels.arrays import F32
from archsim.traceio.trace import Trace

if TYPE_CHECKING:
    from archsim.inference.comparison import CachedRun

T = TypeVar("T")

PRECISIONS = ("fp16", "fp32")
CACHE_BYTES = 1 << 29
"""Most bytes of input products, and of outputs without reuse, that are kept where several runs are expected."""
PAIR_BYTES = 1 << 28
"""Most bytes of input products that are kept from one run to the one beside it."""


class ByteCache(Generic[T]):
    """A store of things by key, as far as there is room; any thread may ask."""

    def __init__(self, limit_bytes: int) -> None:
        self.free_bytes = limit_bytes
        self._things: dict[Hashable, T] = {}
        self._lock = Lock()

    def find(self, key: Hashable) -> T | None:
        """Return the thing of this key, or None where it was not kept."""
        return self._things.get(key)

    def keep(self, key: Hashable, thing: T, n_bytes: int) -> None:
        """Keep a thing if there is room for it and none of its key is kept yet."""
        with self._lock:
            if n_bytes <= self.free_bytes and key not in self._things:
                self.free_bytes -= n_bytes
                self._things[key] = thing


class ArrayCache(ByteCache[F32]):
    """Arrays that are made once per key; with `once`, what was found once is dropped to make room."""

    def __init__(self, limit_bytes: int, *, once: bool = False) -> None:
        super().__init__(limit_bytes)
        self.once = once

    def get(self, key: Hashable, make: Callable[[], F32]) -> F32:
        """Return the array of this key, for the caller to use up."""
        if self.once and (last := self._take(key)) is not None:
            return last
        if (found := self.find(key)) is not None:
            return found.copy()
        made = make()
        if made.nbytes <= self.free_bytes:
            self.keep(key, made.copy(), made.nbytes)
        return made

    def _take(self, key: Hashable) -> F32 | None:
        with self._lock:
            found = self._things.pop(key, None)
            self.free_bytes += 0 if found is None else found.nbytes
            return found


class Workload:
    """What depends on neither policy nor θ: inputs as the first layer takes them, the decoder's head, the metric.

    keep_bytes: memory for what several runs need alike, the first layer's products with its inputs and what the network
    computes without reuse, each up to so many bytes. once: there are two runs only, a policy's and the one without
    reuse beside it, so that products are dropped when the second has found them.
    Raises TraceError for inputs that the network does not take.
    """

    def __init__(
        self, network: Network, trace: Trace, *, precision: str = "fp16", cache_bytes: int = 0, once: bool = False
    ) -> None:
        self.network, self.fp16 = network, is_fp16(precision)
        self.inputs = Inputs(network, trace, fp16=self.fp16)
        self.trace = self.inputs.trace
        self.metric = metric_for(network, self.trace)
        self.input_products = ArrayCache(cache_bytes, once=once)
        self.plain_runs: ByteCache[CachedRun] = ByteCache(0 if once else cache_bytes)
        """Runs without reuse by the sequences of a batch, for the policies that are compared with them."""

    @cached_property
    def decoder(self) -> DecoderWeights | None:
        """The head of a network that decodes."""
        network = self.network
        if not isinstance(network.head, AttentionDecoder) or not network.embedding:
            return None
        if self.fp16:
            check_fp16_range(f"{network.name}: embedding", network.embedding.table)
        return DecoderWeights(network.head, network.embedding.table)


def is_fp16(precision: str) -> bool:
    """Whether the machine stores binary16 in this precision; ConfigError for one that is not known."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision = {precision!r}: accepted: {', '.join(PRECISIONS)}")
    return precision == "fp16"
