"""Components of a computation unit of the E-PUR-like machine."""

from __future__ import annotations

from archsim.config.arch import ArchSpec
from archsim.sim.machines.epur.shared_dispatch.parts import SHARED_PARTS


def parts_of_unit(arch: ArchSpec) -> dict[str, int]:
    """Return the number of instances of each component.

    Planes that a predictor keeps lie in a bank each; the first, the signs, is split off the weight buffer.
    """
    planes = arch.predictor_planes
    parts = {"input_buffer": 1, "dpu": 1, "mu": 1}
    parts |= {"magnitude_buffer": 1, "sign_bank": planes} if planes else {"weight_buffer": 1}
    if arch.fmu is not None:
        parts |= {**arch.fmu.predictor.parts(arch.fmu), "memo_buffer": 1}
        parts |= {"corrector": 1} if arch.fmu.correctors else {}
    return parts | (SHARED_PARTS if arch.dispatch == "shared" else {})
