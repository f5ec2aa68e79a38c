"""Initial states of recurrent layers, one per sequence of a trace, and their arrays in a trace file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from archsim.activity import PassKey
from archsim.errors import TraceError
from archsim.ir.layers import State
from archsim.kernels.arrays import F32
from archsim.ownership import OwnsArrays, own

PASSES, HIDDEN, CELL = "start_passes", "start_h", "start_c"
START_ARRAYS = (PASSES, HIDDEN, CELL)
"""Names of the arrays in a file: passes, (P, 3); and h and c of them side by side, (S, Σ sizes).

A pass is a layer, a direction and the size of h, also that of c unless there is a fourth number for it (P, 4).
"""


@dataclass(frozen=True, eq=False)
class Start(OwnsArrays):
    """Initial states of one (layer, direction), h (S, R) and c (S, H) float32, row s for sequence s."""

    layer: int
    direction: int
    h: F32
    c: F32
    """Cell state; a cell without one does not read it."""


def make_starts(where: str, n_sequences: int, states: Mapping[PassKey, Any]) -> tuple[Start, ...]:
    """Return checked initial states of `n_sequences`, by layer and direction.

    states: by (layer, direction) either h (S, R) or a pair of h and c (S, H); a c that is not given is zero.
    Raises TraceError with `where` for states of another shape, or that are not finite.
    """
    starts = []
    for key, state in sorted(states.items()):
        layer, direction = _checked_key(where, key)
        name = f"{where}: initial state of (layer {layer}, direction {direction})"
        h, c = state if isinstance(state, tuple) else (state, None)
        hidden = _checked(f"{name}: h", h, n_sequences)
        cell = np.zeros_like(hidden) if c is None else _checked(f"{name}: c", c, n_sequences)
        starts.append(Start(layer, direction, hidden, cell))
    return tuple(starts)


def starts_of(starts: Sequence[Start], sequences: Sequence[int] | slice) -> tuple[Start, ...]:
    """Return the initial states of some of the sequences."""
    rows = sequences if isinstance(sequences, slice) else list(sequences)
    return tuple(Start(start.layer, start.direction, start.h[rows], start.c[rows]) for start in starts)


def pack_starts(starts: Sequence[Start]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a file that hold these initial states."""
    passes = np.array([(s.layer, s.direction, s.h.shape[1], s.c.shape[1]) for s in starts], np.int64)
    n_columns = 3 if np.array_equal(passes[:, 2], passes[:, 3]) else 4
    return {
        PASSES: passes[:, :n_columns],
        HIDDEN: np.hstack([start.h for start in starts]),
        CELL: np.hstack([start.c for start in starts]),
    }


def unpack_starts(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[PassKey, State]:
    """Return the initial states that the arrays of a file hold, unchecked but for what splitting them needs."""
    if missing := [name for name in START_ARRAYS if name not in arrays]:
        raise TraceError(f"array {missing[0]!r} is missing; initial states are {', '.join(START_ARRAYS)}")
    passes, hidden, cell = (arrays[name] for name in START_ARRAYS)
    if passes.ndim != 2 or passes.shape[1] not in (3, 4) or passes.dtype.kind not in "iu" or not len(passes):
        shape = f"{passes.dtype} of shape {passes.shape}"
        raise TraceError(
            f"{PASSES} is {shape}, need whole numbers (P, 3): layer, direction, units; or (P, 4) with those of c"
        )
    sizes, cell_sizes = passes[:, 2].tolist(), passes[:, -1].tolist()
    keys = [(layer, direction) for layer, direction, *_ in passes.tolist()]
    if min(*sizes, *cell_sizes) < 1 or len(set(keys)) != len(keys):
        raise TraceError(f"{PASSES} is {passes.tolist()}, need each (layer, direction) once, with at least one unit")
    for name, array, widths in ((HIDDEN, hidden, sizes), (CELL, cell, cell_sizes)):
        # Python integers do not overflow, whatever sizes a damaged file claims.
        if array.ndim != 2 or array.shape[1] != sum(widths):
            raise TraceError(f"{name} has shape {array.shape}, need (S, {sum(widths)}), the units of {PASSES}")
    pieces = [np.split(array, np.cumsum(of)[:-1], axis=1) for array, of in ((hidden, sizes), (cell, cell_sizes))]
    split = zip(*pieces, strict=True)
    return {key: State(h, c) for key, (h, c) in zip(keys, split, strict=True)}


def _checked_key(where: str, key: Any) -> PassKey:
    match key:
        case (int(layer), int(direction)) if layer >= 0 and direction in (0, 1):
            return layer, direction
    raise TraceError(f"{where}: initial state of {key!r}, need a pair (layer, direction), direction 0 or 1")


def _checked(where: str, values: ArrayLike, n_sequences: int) -> F32:
    try:
        given = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TraceError(f"{where} is no array: {error}") from None
    if given.ndim != 2 or given.dtype.kind not in "fiu" or len(given) != n_sequences or not given.shape[1]:
        shape = f"{given.dtype} of shape {given.shape}"
        raise TraceError(f"{where} is {shape}, need numbers ({n_sequences}, H), one row per sequence")
    with np.errstate(over="ignore"):
        array: F32 = own(given, np.float32)
    if not np.isfinite(array).all():
        raise TraceError(f"{where} holds NaN or infinite values, need finite numbers that float32 can hold")
    return array
