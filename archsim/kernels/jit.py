"""How loops over many small calls are compiled: to disk, without the interpreter's lock, into one piece.

Handing on a dozen arrays at each call takes longer than the calls, counting their references longer still. Functions
compiled like this may look at arrays and write into them, but not make any.
"""

from __future__ import annotations

from numba import njit

from archsim.kernel_cache import provide_cache


def _nothing() -> None:
    """Stand for all kernels where a place to keep them is looked for."""


provide_cache(njit(cache=True), _nothing)
outer = njit(cache=True, nogil=True, _nrt=False)
inner = njit(cache=True, nogil=True, _nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what only other kernels call: no Python entry has to be compiled."""
