"""Components of a computation unit of the E-PUR-like machine."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.sim.machines.epur.shared_dispatch.parts import SHARED_PARTS


def parts_of_unit(arch: ArchSpec) -> dict[str, int]:
    """Return the number of instances of each component.

    A predictor of several bits has a sign bank for each, and a binary unit for each bit of an input.
    """
    parts = {"input_buffer": 1, "dpu": 1, "mu": 1}
    if arch.fmu is None:
        parts |= {"weight_buffer": 1}
    else:
        parts |= {"magnitude_buffer": 1, "sign_bank": arch.fmu.planes}
        parts |= {"fmu": arch.fmu.bit_operations, "memo_buffer": 1}
        parts |= {"corrector": 1} if arch.fmu.correctors else {}
    return parts | (SHARED_PARTS if arch.dispatch == "shared" else {})
