"""A network and a trace, ready to be run under one policy and threshold after the other."""

from __future__ import annotations

from functools import cached_property

from archsim.errors import ConfigError
from archsim.functional.decode import DecoderWeights
from archsim.functional.head import metric_for
from archsim.functional.inputs import Inputs
from archsim.functional.kept import KeptArrays
from archsim.functional.weights import check_half
from archsim.ir.heads import AttentionDecoder
from archsim.ir.network import Network
from archsim.traceio.trace import Trace

PRECISIONS = ("fp16", "fp32")
KEEP_BYTES = 1 << 29
"""Of input products, where several runs of a workload are expected."""


class Workload:
    """What depends on neither policy nor θ: inputs as the first layer takes them, the decoder's head, the metric.

    keep_bytes: the memory that the first layer's products with its inputs may take to be made once for all runs.
    Raises TraceError for inputs that the network does not take.
    """

    def __init__(self, network: Network, trace: Trace, *, precision: str = "fp16", keep_bytes: int = 0) -> None:
        self.network, self.as_half = network, holds_half(precision)
        self.inputs = Inputs(network, trace, as_half=self.as_half)
        self.trace = self.inputs.trace
        self.metric = metric_for(network, self.trace)
        self.input_products = KeptArrays(keep_bytes)

    @cached_property
    def decoder(self) -> DecoderWeights | None:
        """The head of a network that decodes."""
        network = self.network
        if not isinstance(network.head, AttentionDecoder) or not network.embedding:
            return None
        if self.as_half:
            check_half(f"{network.name}: embedding", network.embedding.table)
        return DecoderWeights(network.head, network.embedding.table)


def holds_half(precision: str) -> bool:
    """Whether the machine stores binary16 in this precision; ConfigError for one that is not known."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision = {precision!r}: accepted: {', '.join(PRECISIONS)}")
    return precision == "fp16"
