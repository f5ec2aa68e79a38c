"""State of a pass that is co-simulated with main memory: inputs, and progress in the step that runs.

All cycles count from the start of the simulation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64, U8, Bools
from archsim.kernels.pipeline.recurrence import PassTimes, empty_times

(
    STEP,  # t
    STEP_START,  # S_t
    PASS_REQUESTS,  # rows, or columns, requested in all steps
    IS_OVER,  # flag
    N_STARTED,  # gates that have started in this step, in order
    GROUP,  # gates that the updates in progress join: 1 if those of gate r alone came before, else 0
    N_UPDATED,  # hidden units updated for this group
    UPDATES_START,  # first update of the step
) = PROGRESS = range(8)
"""Progress of the pass; the first four are those of a pass that streams columns, too."""
N_ISSUED, N_TAKEN, N_DELIVERED, ISSUE_CYCLE, FREE_CYCLE, DELIVERY_CYCLE = range(6)
"""Progress of a computation unit in this step: neurons issued, taken and delivered, and u, free and r of the last."""
EVALUATION_START, EVALUATION_END = 6, 7
"""Cycles of the evaluation in flight, while a neuron is taken and not delivered; fills may still postpone its end."""
NEXT_ROW, UNIT_REQUESTS, N_READ = 8, 9, 10
"""Rows of a unit in this step: the first neuron whose row may be requested, rows requested, and rows read."""
UNIT_START = 11
"""Cycle at which a unit starts this step: S_t, or S'_t of a candidate that waits for r ⊙ h."""
UNIT_FIELDS = 12
ON_CHIP = 0
"""Arrival of a row that need not be fetched. No cycle is below 0, so it delays nothing."""
NOT_ARRIVED = -1
"""Arrival of a row that is still to come."""
FOREIGN = -1
"""Entry of a transfer that fetches no row of this pass, because another requester submitted it."""


class PassState(NamedTuple):
    """Inputs and progress of a pass in flight."""

    reuse_bits: U8
    """(T, ceil(G·H / 8)) decisions as `numpy.packbits` lays them out, gate-major; 1 = reused."""
    gate_bits: int
    """H, bits of one gate's decisions in a step."""
    resident: Bools
    """(H,) hidden units whose rows stay on chip, in every gate."""
    addresses: I64
    """(G,) bytes, the address of each gate's first row."""
    transfer_ids: I64
    """(G, S) ids of the transfers a gate may have in flight, one for each row slot of its weight buffer."""
    transfer_items: I64
    """(n,) row that each transfer of the memory fetches, as k·H + n, or FOREIGN."""
    each_bytes: int
    """Bytes of a row."""
    shares_bank: bool
    """Whether the dot product units read the bank that is being filled."""
    resets_before: bool
    """Whether the last gate waits for the first, as in a GRU with reset before the product."""
    start: int
    """S_0."""
    progress: I64
    """(8,)."""
    cus: I64
    """(G, UNIT_FIELDS) progress of each computation unit."""
    decided_at: I64
    """(G, H) f[k,n] of this step."""
    taken_at: I64
    """(G, H) a[k,n]."""
    arrived_at: I64
    """(G, H) cycle at which a row arrived, or ON_CHIP or NOT_ARRIVED."""
    delivered_at: I64
    """(G, H) r[k,n]."""
    updated_at: I64
    """(H,) m[n]."""
    slot_free_at: I64
    """(G, S) cycle from which a row slot is free."""
    result: PassTimes


def pass_before_start(
    reuse_bits: U8, resident: Bools, addresses: I64, transfer_ids: I64, *,
    row_bytes: int, n_transfers: int, shares_bank: bool, resets_before: bool, start: int, spans: bool,
) -> PassState:  # fmt: skip
    """Return a pass that enters its first step at cycle `start`; the memory knows `n_transfers` transfers."""
    n_gates, n_units = transfer_ids.shape[0], resident.size
    state = PassState(
        reuse_bits=reuse_bits,
        gate_bits=n_units,
        resident=resident,
        addresses=addresses,
        transfer_ids=transfer_ids,
        transfer_items=np.full(n_transfers, FOREIGN, np.int64),
        each_bytes=row_bytes,
        shares_bank=shares_bank,
        resets_before=resets_before,
        start=start,
        progress=np.zeros(len(PROGRESS), np.int64),
        cus=np.zeros((n_gates, UNIT_FIELDS), np.int64),
        decided_at=np.zeros((n_gates, n_units), np.int64),
        taken_at=np.zeros((n_gates, n_units), np.int64),
        arrived_at=np.zeros((n_gates, n_units), np.int64),
        delivered_at=np.zeros((n_gates, n_units), np.int64),
        updated_at=np.zeros(n_units, np.int64),
        slot_free_at=np.zeros(transfer_ids.shape, np.int64),
        result=empty_times(reuse_bits.shape[0], n_gates, spans=spans),
    )
    state.progress[STEP_START] = start
    return state
