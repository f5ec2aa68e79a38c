"""Compiled loops of numba behind plain functions: arrays in, arrays out, without objects and without the engine.

A function that checks shapes and allocates may be called by anybody; one marked "for kernels" only loops. Every float
operation has one fixed order, so that results do not depend on batch size, threads or vector width.
"""

# Imported before any kernel, because it provides the folder that compiled kernels are kept in.
from archsim.kernels import jit as _jit  # noqa: F401
