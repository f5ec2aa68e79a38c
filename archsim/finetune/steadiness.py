"""How unsteady a network's products are: what a training may hold down to be reused more."""

from __future__ import annotations

import torch
from torch import Tensor

from archsim.finetune.steps import Parameters
from archsim.inference.batching import Batch

TINY = 1e-12
"""Keeps 0 / 0 of a product that stays zero at zero."""


def unsteadiness(inputs: Tensor, outputs: Tensor, parameters: Parameters, batch: Batch, half_at: float) -> Tensor:
    """Return the mean over neurons and steps of ε² / (ε² + half_at²), a number from 0 to 1.

    ε is the relative change of a neuron's exact product since the step before (SEMANTICS 1.4 with the exact product and
    the step before in place of the memo). The form counts, softly, the neurons that change by more than `half_at`; it
    leaves those alone that change by far more, which no small step would let be reused. Packed inputs (rows, I) and
    outputs (rows, H) of a pass; 0 for sequences of one step.
    """
    rows, later = torch.from_numpy(batch.rows_before()), int(batch.active[0])
    if not len(rows):
        return outputs.new_zeros(())
    hidden = torch.cat([outputs.new_zeros(later, outputs.shape[1]), outputs[rows]])
    products = torch.addmm(inputs @ parameters.weight_ih.T, hidden, parameters.weight_hh.T)
    now = products[later:]
    change = (now - products[rows]).square()
    return (change / (change + half_at**2 * now.square() + TINY)).mean()
