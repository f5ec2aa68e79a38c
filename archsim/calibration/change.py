"""How much reuse changes the outputs of a network: a smooth stand-in for the loss of its task."""

from __future__ import annotations

from itertools import takewhile

import numpy as np

from archsim.functional.head import Answer
from archsim.functional.run import FunctionalResult
from archsim.kernels.arrays import F32


def output_change(before: FunctionalResult, after: FunctionalResult, *, decodes: bool) -> float:
    """Squared change of the top layer's outputs over the squares of those before; 0 where nothing changed.

    A decoder's are compared while both say the same words: from there on it is asked different things, however little
    reuse has changed. Both results need their outputs.
    """
    change = squares = 0.0
    assert before.outputs is not None and after.outputs is not None, "kept where they are compared"
    for sequence, (old, new) in enumerate(zip(before.outputs, after.outputs, strict=True)):
        steps = min(len(old), len(new))
        if decodes and before.answers and after.answers:
            steps = min(steps, _steps_alike(before.answers[sequence], after.answers[sequence]) or steps)
        change += _squares(old[:steps] - new[:steps])
        squares += _squares(old[:steps])
    return change / squares if squares else change


def _steps_alike(before: Answer, after: Answer) -> int:
    """Steps of two texts that had the same inputs for certain, as a word is a piece or more; 0 for equal texts."""
    pairs = zip(str(before).split(), str(after).split(), strict=False)
    return 0 if before == after else 1 + len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _squares(values: F32) -> float:
    return float(np.square(values, dtype=np.float64).sum())
