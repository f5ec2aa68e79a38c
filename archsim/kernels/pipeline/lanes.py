"""Lanes: equal work on LANES items side by side, in loops that the compiler turns into vector instructions.

The steps of a resident pass do not depend on each other: S_{t+1} - S_t follows from the decisions of step t alone. One
step by itself is a chain of maxima, each waiting for the one before, which leaves most of a core idle. So LANES steps
are timed at once. The state of each lies in one column of rows of LANES numbers, and the innermost loop of a kernel is

    for lane in range(LANES):
        free[k, lane] = free_cycle(taken[0, lane], reused, step_times)

The formula is that of a single step. LLVM makes vector instructions of such a loop if four rules are kept. Each was
found by measuring: a loop that breaks one gives the same numbers, 1.3 to 8 times slower.

- A lane loop writes only to rows made by `scratch_rows`, which lie on the stack. LLVM must prove that no row written
  overlaps one that is read, and Numba promises nothing about arrays that come from outside. Reading those is fine.
- It stands in the function that makes these rows. Numba optimises every function by itself before it inlines it, and
  rows handed down are arrays from outside there; the loop is then unrolled by two, which later hides its form.
- What must outlive the function, or is too large for the stack, is copied to an array in a loop of its own.
- LANES is 32. LLVM unrolls short loops wholly before it looks for vectors, and with 16 the shortest ones are short.

Loops over gates inside a lane loop must have a constant end, MAX_GATES, so that they are unrolled and the lane loop is
the innermost. 32 lanes of int64 are four registers of AVX-512 or eight of AVX2. LLVM composes instructions that a
processor lacks; integer results are the same everywhere.

Measured with 4 gates of 320 neurons, 6,400 steps, nanoseconds per neuron: 6 for one step after the other, 0.75 in this
form, 0.73 with vector operations written by hand.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

LANES = 32
MAX_GATES = 4
"""Gates that a step has scratch rows for."""
ALIGNMENT = 64
"""Bytes of the widest vector register."""


@intrinsic
def scratch_rows(typing_context, n_rows):
    """Return an int64 array (n_rows, LANES) on the caller's stack; `n_rows` is a constant, the content undefined.

    The array ends with the call of the function that made it: hand it down, but never return it.
    """
    if not isinstance(n_rows, types.IntegerLiteral):
        return None
    array_type = types.Array(types.int64, 2, "C")

    def build(context, builder, signature, arguments):
        word = context.get_value_type(types.int64)
        memory = cgutils.alloca_once(builder, ir.ArrayType(word, n_rows.literal_value * LANES))
        memory.align = ALIGNMENT
        array = context.make_array(array_type)(context, builder)
        shape, strides = (n_rows.literal_value, LANES), (LANES * 8, 8)
        populate_array(
            array,
            data=builder.bitcast(memory, word.as_pointer()),
            shape=[context.get_constant(types.intp, size) for size in shape],
            strides=[context.get_constant(types.intp, stride) for stride in strides],
            itemsize=context.get_constant(types.intp, 8),
            meminfo=None,
        )
        return array._getvalue()

    return array_type(n_rows), build
