"""Numbers side by side in one variable: a kernel that reads as if for one of something computes `LANES` at once.

A compiled function loads lanes from rows (LANES,) int64, computes as with one number, and stores them. What a machine
has no vector instructions for LLVM makes of others: integers are the same everywhere.
"""

# Numba calls these builders with LLVM objects that carry no types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 16
INDEX = ir.IntType(32)


class _Lanes(types.Type):
    """`LANES` integers of so many bits."""

    def __init__(self, bits):
        super().__init__(f"Lanes(int{bits})")
        self.vector = ir.VectorType(ir.IntType(bits), LANES)


NUMBERS, TRUTHS = _Lanes(64), _Lanes(1)
"""int64, and the outcomes of comparisons."""


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.vector)


def _spread(builder, kind, value):
    """Lanes as they are; one number in every lane."""
    if isinstance(kind, _Lanes):
        return value
    number = value if kind.bitwidth == 64 else builder.sext(value, NUMBERS.vector.element)
    first = builder.insert_element(ir.Constant(NUMBERS.vector, ir.Undefined), number, INDEX(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES))


def _define(function, build, found=NUMBERS, of=NUMBERS):
    """Give a function of two numbers its meaning for lanes, or for lanes and one number."""

    @type_callable(function)
    def type_of(context):
        def typer(a, b):
            alike = all(kind == of or isinstance(kind, types.Integer) for kind in (a, b))
            return found if of in (a, b) and alike else None

        return typer

    for kinds in ((of, of), (of, types.Integer), (types.Integer, of)):

        @lower_builtin(function, *kinds)
        def lower(context, builder, signature, arguments):
            return build(builder, *map(_spread, [builder] * 2, signature.args, arguments))


def later(a, b):
    """The larger of two."""


def earlier(a, b):
    """The smaller of two."""


def _compare(sign):
    return lambda builder, a, b: builder.icmp_signed(sign, a, b)


_define(operator.add, lambda builder, a, b: builder.add(a, b))
_define(operator.sub, lambda builder, a, b: builder.sub(a, b))
_define(operator.mul, lambda builder, a, b: builder.mul(a, b))
_define(operator.and_, lambda builder, a, b: builder.and_(a, b))
_define(operator.lshift, lambda builder, a, b: builder.shl(a, b))
_define(operator.rshift, lambda builder, a, b: builder.ashr(a, b))
_define(operator.eq, _compare("=="), found=TRUTHS)
_define(operator.gt, _compare(">"), found=TRUTHS)
_define(operator.lt, _compare("<"), found=TRUTHS)
_define(operator.and_, lambda builder, a, b: builder.and_(a, b), found=TRUTHS, of=TRUTHS)
_define(operator.or_, lambda builder, a, b: builder.or_(a, b), found=TRUTHS, of=TRUTHS)
_define(later, lambda builder, a, b: builder.select(builder.icmp_signed(">", a, b), a, b))
_define(earlier, lambda builder, a, b: builder.select(builder.icmp_signed("<", a, b), a, b))


@intrinsic
def everywhere(typing_context, number):
    """One number in every lane."""

    def build(context, builder, signature, arguments):
        return _spread(builder, signature.args[0], arguments[0])

    return NUMBERS(number), build


@intrinsic
def where(typing_context, truths, a, b):
    """`a` in the lanes where it is true, `b` elsewhere."""

    def build(context, builder, signature, arguments):
        a, b = map(_spread, [builder] * 2, signature.args[1:], arguments[1:])
        return builder.select(arguments[0], a, b)

    return NUMBERS(truths, a, b), build


@intrinsic
def load(typing_context, row):
    """The lanes of a row."""

    def build(context, builder, signature, arguments):
        return builder.load(_lanes_at(context, builder, signature, arguments), align=8)

    return NUMBERS(row), build


@intrinsic
def store(typing_context, row, lanes):
    """Write lanes, or one number in every lane, to a row."""

    def build(context, builder, signature, arguments):
        value = _spread(builder, signature.args[1], arguments[1])
        builder.store(value, _lanes_at(context, builder, signature, arguments), align=8)
        return context.get_dummy_value()

    return types.void(row, lanes), build


@intrinsic
def gather(typing_context, rows, places):
    """Of rows (n, LANES), each lane from a row of its own."""

    def build(context, builder, signature, arguments):
        found = ir.Constant(NUMBERS.vector, ir.Undefined)
        for lane, place in enumerate(_numbers_at(context, builder, signature, arguments)):
            found = builder.insert_element(found, builder.load(place, align=8), INDEX(lane))
        return found

    return NUMBERS(rows, places), build


@intrinsic
def scatter(typing_context, rows, places, lanes):
    """Write each lane to a row of its own."""

    def build(context, builder, signature, arguments):
        for lane, place in enumerate(_numbers_at(context, builder, signature, arguments)):
            builder.store(builder.extract_element(arguments[2], INDEX(lane)), place, align=8)
        return context.get_dummy_value()

    return types.void(rows, places, lanes), build


def _lanes_at(context, builder, signature, arguments):
    """Where a row lies."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.bitcast(array.data, NUMBERS.vector.as_pointer())


def _numbers_at(context, builder, signature, arguments):
    """Where each lane's number lies."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    numbers = builder.mul(arguments[1], ir.Constant(NUMBERS.vector, [LANES] * LANES))
    for lane in range(LANES):
        number = builder.add(builder.extract_element(numbers, INDEX(lane)), NUMBERS.vector.element(lane))
        yield builder.gep(array.data, [number])
