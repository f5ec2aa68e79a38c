"""Numba loops behind plain faces: arrays in, arrays out, no objects and no engine in sight.

A function that checks shapes and allocates is for everybody; one marked "for kernels" only loops. Every float operation
has one fixed order, so an answer does not depend on batch size, threads or vector width.
"""

from archsim.kernels import jit as _jit  # noqa: F401  (before any kernel: it finds a place for what is compiled)
