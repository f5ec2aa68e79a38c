"""Unsteadiness of a network's products, which training may reduce to increase reuse."""

from __future__ import annotations

import torch
from torch import Tensor

from archsim.finetune.steps import Parameters
from archsim.inference.batching import Batch

TINY = 1e-12
"""Term that avoids 0 / 0 for a product that stays zero."""


def unsteadiness(inputs: Tensor, outputs: Tensor, parameters: Parameters, batch: Batch, half_at: float) -> Tensor:
    """Return the mean over neurons and steps of ε² / (ε² + half_at²), a number from 0 to 1.

    ε is the relative change of a neuron's exact product since the previous step (SEMANTICS 1.4, with the exact product
    and the previous step instead of the memo). This is a smooth count of the neurons that change by more than
    `half_at`. Its gradient vanishes for much larger changes, which no small step could make reusable. `inputs` (rows,
    I) and `outputs` (rows, H) are step-major rows of a pass. The result is 0 for sequences of one step.
    """
    rows, later = torch.from_numpy(batch.rows_before()), int(batch.active[0])
    if not len(rows):
        return outputs.new_zeros(())
    hidden = torch.cat([outputs.new_zeros(later, outputs.shape[1]), outputs[rows]])
    products = torch.addmm(inputs @ parameters.weight_ih.T, hidden, parameters.weight_hh.T)
    now = products[later:]
    change = (now - products[rows]).square()
    return (change / (change + half_at**2 * now.square() + TINY)).mean()
