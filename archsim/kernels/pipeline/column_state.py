"""State of a column-skipping pass that is co-simulated with main memory: inputs, and progress in the step that runs.

All cycles count from the start of the simulation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archsim.kernels.arrays import I64, U8, Bools
from archsim.kernels.pipeline.columns import COLUMN_SPANS, COLUMN_TALLY, ColumnPassTimes
from archsim.kernels.pipeline.pass_state import FOREIGN, STEP_START, UNIT_FIELDS

N_ENTERING = 4
"""Progress of the pass beyond what all passes have: columns that enter in this step."""
N_PLACED, SCAN_GROUP, SCAN_CYCLE, PLACE_CYCLE = range(UNIT_FIELDS, UNIT_FIELDS + 4)
"""Progress of a computation unit beyond what all units have: columns placed in this step, g and s of the last group
scanned, and p of the last column. N_ISSUED counts elements of [x; h] up to the last column placed."""


class ColumnPassState(NamedTuple):
    """Inputs and progress of a pass in flight; what PassState has too has its names there, for what both share."""

    reuse_bits: U8
    """(T, ceil(N / 8)) skips as `numpy.packbits` lays them out; 1 = skipped."""
    gate_bits: int
    """0, because all gates skip the same columns."""
    resident: Bools
    """(N,) elements whose columns stay on chip, in every gate."""
    addresses: I64
    """(G,) bytes, the address of each gate's first column."""
    transfer_ids: I64
    """(G, S) ids of the transfers a gate may have in flight, one for each slot."""
    transfer_items: I64
    """(n,) column that each transfer of the memory fetches, as k·N + i, or FOREIGN."""
    each_bytes: int
    """Bytes of a column."""
    n_units: int
    """H."""
    start: int
    """S_0."""
    progress: I64
    """(5,)."""
    cus: I64
    """(G, UNIT_FIELDS + 4) progress of each computation unit."""
    entering: I64
    """(N,) elements that enter in this step, i_j."""
    decided_at: I64
    """(G, N) p + L of each element's column in this step: it is known."""
    taken_at: I64
    """(G, N) a[k,j]."""
    arrived_at: I64
    """(G, N) cycle at which an element's column arrived, or ON_CHIP or NOT_ARRIVED."""
    slot_free_at: I64
    """(G, S) cycle from which a slot is free."""
    result: ColumnPassTimes
    """With an entry of the tally and of the spans for each gate."""


def columns_before_start(
    skip_bits: U8, resident: Bools, addresses: I64, transfer_ids: I64, *,
    column_bytes: int, n_units: int, n_transfers: int, start: int, spans: bool,
) -> ColumnPassState:  # fmt: skip
    """Return a pass before its first step, at cycle `start`; the memory knows `n_transfers` transfers."""
    n_steps, n_gates, n_inputs = skip_bits.shape[0], transfer_ids.shape[0], resident.size
    state = ColumnPassState(
        reuse_bits=skip_bits,
        gate_bits=0,
        resident=resident,
        addresses=addresses,
        transfer_ids=transfer_ids,
        transfer_items=np.full(n_transfers, FOREIGN, np.int64),
        each_bytes=column_bytes,
        n_units=n_units,
        start=start,
        progress=np.zeros(N_ENTERING + 1, np.int64),
        cus=np.zeros((n_gates, UNIT_FIELDS + 4), np.int64),
        entering=np.zeros(n_inputs, np.int64),
        decided_at=np.zeros((n_gates, n_inputs), np.int64),
        taken_at=np.zeros((n_gates, n_inputs), np.int64),
        arrived_at=np.zeros((n_gates, n_inputs), np.int64),
        slot_free_at=np.zeros(transfer_ids.shape, np.int64),
        result=ColumnPassTimes(
            step_ends=np.zeros(n_steps, np.int64),
            tally=np.zeros((n_gates, len(COLUMN_TALLY)), np.int64),
            spans=np.zeros((n_steps if spans else 0, n_gates, len(COLUMN_SPANS)), np.int64),
        ),
    )
    state.progress[STEP_START] = start
    return state
