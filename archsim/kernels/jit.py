"""How loops are compiled: once, to disk, without the interpreter's lock."""

from __future__ import annotations

from numba import njit

inner = njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what only other kernels call: no Python entry has to be compiled."""

inlined = njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, inline="always")
"""For the innermost: written into its caller, so that nothing has to be handed over."""
