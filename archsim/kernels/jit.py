"""Decorators for kernels of many small functions: one compiled piece, kept on disk, without the interpreter's lock.

Passing a dozen arrays costs more than the callee, reference counting more still. So helpers are inlined without NRT,
numba's memory manager: they may read arrays and write to them, but must not allocate.
"""

from __future__ import annotations

from numba import njit

from archsim.kernel_cache import provide_cache


def _nothing() -> None:
    """Stand for all kernels in the search for a cache folder."""


provide_cache(njit(cache=True), _nothing)
outer = njit(cache=True, nogil=True, _nrt=False)
"""Decorator of kernels that Python calls."""
inner = njit(cache=True, nogil=True, _nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Decorator of functions that only kernels call: inlined, and compiled without an entry from Python."""
