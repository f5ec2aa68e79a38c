"""Numba loops behind plain faces: arrays in, arrays out, no objects and no engine in sight.

Each public function checks shapes and allocates; its underscore twin only loops. Every float operation has one
fixed order, so an answer does not depend on batch size, threads or vector width.
"""
