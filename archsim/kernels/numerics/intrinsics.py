"""Single machine instructions that numba does not offer."""

# Numba calls these builders with LLVM objects that carry no types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, attr-defined, misc"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def fma(typing_context, a, b, c):
    """Return a·b + c for float32, rounded once, so that every machine and vector width gives the same bits."""
    signature = types.float32(types.float32, types.float32, types.float32)

    def build(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return signature, build


@intrinsic
def popcount(typing_context, word):
    """Return the number of ones in a 64-bit word (`llvm.ctpop`)."""
    signature = types.uint64(types.uint64)

    def build(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return signature, build


@intrinsic
def bits_of(typing_context, value):
    """Return the 32 bits of a float32, as uint32."""
    signature = types.uint32(types.float32)

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return signature, build


@intrinsic
def float_of(typing_context, bits):
    """Return the float32 with these 32 bits."""
    signature = types.float32(types.uint32)

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return signature, build
