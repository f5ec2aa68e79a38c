"""Actions of the memoization unit, beside those that all machines share."""

from __future__ import annotations

from collections.abc import Iterator

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.config.components import Action
from archsim.sim.actions import step_transfers
from archsim.sim.items import PassSegment


def prediction(arch: ArchSpec, shape: PassShape) -> Iterator[Action]:
    """Yield the actions of a prediction, and one read and write of the memo entry.

    The entry is written in either case: drift after a reuse, product and prediction after an evaluation. A corrector
    works beside the comparator, before it is known whether its product will be taken.
    """
    if arch.fmu is None:
        return
    yield from arch.fmu.predictor.actions(arch.fmu, shape.n_inputs)
    yield Action("corrector", "mac", arch.fmu.correctors)
    yield Action("memo_buffer", "read", 1)
    yield Action("memo_buffer", "write", 1)


def step_actions(arch: ArchSpec, segment: PassSegment) -> Iterator[Action]:
    """Yield what a step moves to and from the input buffers, and what the predictors do with the inputs there."""
    yield from step_transfers(arch, segment)
    if arch.fmu and segment.updates:
        for action in arch.fmu.predictor.input_actions(arch.fmu, segment.shape.n_inputs):
            yield action._replace(number=action.number * segment.shape.n_gates)
