"""Actions of the memoization unit, beside those that all machines share."""

from __future__ import annotations

from collections.abc import Iterator

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.sim.actions import Action
from archsim.units import ceil_div


def prediction(arch: ArchSpec, shape: PassShape) -> Iterator[Action]:
    """A small network's dot product, its comparison, and one read and write of the memo entry.

    The entry is written in either case: drift after a reuse, product and prediction after an evaluation. A corrector
    works beside the comparator, before it is known whether its product will be taken.
    """
    if arch.fmu is None:
        return
    bits = shape.n_inputs * arch.fmu.planes
    yield Action("sign_bank", "predict", ceil_div(bits, arch.fmu.sign_bank_width_bits))
    yield Action("fmu", "xnor_popcount", bits * arch.fmu.bit_operations)
    yield Action("fmu", "compare", 1)
    yield Action("corrector", "mac", arch.fmu.correctors)
    yield Action("memo_buffer", "read", 1)
    yield Action("memo_buffer", "write", 1)
