"""Kernels against numpy: bits, rounding, activation functions, products."""

import numpy as np
import pytest
from harness import naive_binary_product, naive_code, naive_drift_rule, naive_ternary
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit

from archsim.ir.cells import CELLS
from archsim.kernels.numerics import activation
from archsim.kernels.numerics.attention import softmax, tanh_inplace
from archsim.kernels.numerics.cells import N_PEEPHOLES, N_PRODUCTS, CellUpdate, advance_cell, update_cell
from archsim.kernels.numerics.dense import accumulate_products
from archsim.kernels.numerics.fp16 import to_fp16
from archsim.kernels.numerics.products import NO_WEIGHTS
from archsim.kernels.numerics.rounding import UNROUNDED
from archsim.kernels.prediction.bitplanes import (
    add_ternary_products,
    binary_products,
    code_products,
    mean_magnitudes,
    pack_joint_codes,
    pack_joint_signs,
    pack_joint_ternary,
    pack_signs,
)
from archsim.kernels.prediction.reuse_rule import apply_memo, decide_by_change, decide_by_drift

FLOATS = st.floats(-100, 100, width=32)


@njit
def _map_tanh(x, out):
    for i in range(x.size):
        out[i] = activation.tanh(x[i])


@njit
def _map_sigmoid(x, out):
    for i in range(x.size):
        out[i] = activation.sigmoid(x[i])


def mapped(loop, x):
    out = np.empty_like(x)
    loop(x, out)
    return out


def test_tanh_is_odd_bounded_and_accurate_to_5e_7():
    """The bound of the docstring holds over the whole range."""
    x = np.linspace(-20, 20, 400_001).astype(np.float32)
    y = mapped(_map_tanh, x)
    exact = np.tanh(x.astype(np.float64))
    nonzero = exact != 0
    assert np.abs(y[nonzero] / exact[nonzero] - 1).max() <= 5e-7
    assert (y == -mapped(_map_tanh, -x)).all() and np.abs(y).max() <= 1


def test_sigmoid_is_accurate_to_2e_7():
    x = np.linspace(-30, 30, 300_001).astype(np.float32)
    assert np.abs(mapped(_map_sigmoid, x) - 1 / (1 + np.exp(-x.astype(np.float64)))).max() <= 2e-7


def test_fp16_rounding_equals_numpy_on_all_values_and_ties():
    """All binary16 numbers, all midpoints between neighbours, and values beyond the range."""
    halves = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16)
    finite = np.sort(halves[np.isfinite(halves)].astype(np.float64))
    ties = (finite[1:] + finite[:-1]) / 2
    values = np.concatenate([finite, ties, ties * 1.0001, [65519.9, 65520.0, 1e30, -1e30]]).astype(np.float32)
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(to_fp16(values).view(np.uint32), expected.view(np.uint32))


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 150)), elements=FLOATS), st.integers(1, 70))
def test_packed_binary_product_equals_the_dense_one(inputs, split):
    """XNOR and popcount over packed words give the ±1 product, wherever x ends and h begins."""
    rng = np.random.default_rng(inputs.shape[1])
    weights = rng.standard_normal((9, inputs.shape[1])).astype(np.float32)
    split = min(split, inputs.shape[1] - 1)
    packed = pack_joint_signs(inputs[:, :split].copy(), inputs[:, split:].copy()) if split else pack_signs(inputs)
    products = binary_products(packed, np.ascontiguousarray(pack_signs(weights).T), inputs.shape[1])
    expected = np.stack([naive_binary_product(weights, row) for row in inputs])
    np.testing.assert_array_equal(products, expected)


def test_sign_of_negative_zero_is_positive():
    assert pack_signs(np.array([[-0.0, 0.0, -1e-30]], np.float32))[0, 0] == 0b011


def test_products_do_not_depend_on_the_batch(rng):
    """One row gives the same bits alone and among others."""
    x, w = rng.standard_normal((7, 37)).astype(np.float32), rng.standard_normal((37, 130)).astype(np.float32)
    together, alone = np.zeros((7, 130), np.float32), np.zeros((1, 130), np.float32)
    accumulate_products(x, w, together)
    accumulate_products(x[3:4], w, alone)
    assert together[3].tobytes() == alone[0].tobytes()
    np.testing.assert_allclose(together, x.astype(np.float64) @ w, atol=1e-5)


def test_products_of_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="got \\(2, 3\\)"):
        accumulate_products(np.zeros((2, 3), np.float32), np.zeros((4, 5), np.float32), np.zeros((2, 5), np.float32))


@given(st.lists(st.integers(-6, 6), min_size=2, max_size=30), st.floats(0, 3, width=32), st.booleans())
def test_drift_rule_kernel_equals_semantics_1_4(predictions, theta, throttle):
    """One neuron over time, against SEMANTICS 1.4 written out."""
    memo, drift = np.full((1, 1, 1), predictions[0], np.int32), np.zeros((1, 1, 1), np.float32)
    result = [False]
    for now in predictions[1:]:
        out = np.zeros((1, 1, 1), np.bool_)
        decide_by_drift(np.full((1, 1, 1), now, np.int32), memo, drift, np.array([theta], np.float32), throttle, out)
        result.append(bool(out[0, 0, 0]))
    assert result == naive_drift_rule(predictions, theta, throttle)


def test_relative_change_from_zero_is_infinite_and_0_to_0_is_none():
    now, memo = np.array([[[0.0, 0.0, 2.0]]], np.float32), np.array([[[1.0, 0.0, 1.0]]], np.float32)
    out = np.zeros((1, 1, 3), np.bool_)
    decide_by_change(now, memo, np.array([0.5], np.float32), out)
    assert out.tolist() == [[[False, True, True]]]


def test_evaluated_product_is_used_exact_and_stored_rounded():
    """SEMANTICS 1.2: the step that evaluates a product uses it unrounded."""
    value = np.float32(1.0001)
    products, memo = np.full((1, 1, 2), value, np.float32), np.full((1, 1, 2), 5, np.float32)
    apply_memo(products, memo, np.array([[[False, True]]]), np.array([0]), True)
    assert products.tolist() == [[[value, 5.0]]] and memo.tolist() == [[[1.0, 5.0]]]


def test_softmax_and_tanh_inplace_equal_numpy():
    """Against numpy in double precision, from the least score to the largest."""
    scores = np.linspace(-200, 30, 5001).astype(np.float32)
    expected = np.exp((scores - np.float32(30)).astype(np.float64))
    softmax(scores)
    np.testing.assert_allclose(scores, expected / expected.sum(), rtol=1e-6, atol=1e-37)
    values = np.linspace(-12, 12, 999).astype(np.float32)
    expected = np.tanh(values.astype(np.float64))
    tanh_inplace(values)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


CODES = arrays(np.float32, (3, 70), elements=st.floats(-3, 3, width=32))


@given(CODES, CODES, st.integers(1, 8), st.sampled_from([0.1, 0.5, 1.0]))
def test_code_products_equal_integer_products(inputs, weights, bits, step):
    steps = np.full(3, step, np.float32)
    packed = [pack_joint_codes(v[:, :6], steps, v[:, 6:], steps, bits) for v in (inputs, weights)]
    result = code_products(packed[0], np.ascontiguousarray(packed[1].transpose(0, 2, 1)), 70)
    codes = [naive_code(v, np.float32(step), bits) for v in (inputs, weights)]
    assert (result == codes[0] @ codes[1].T).all()


def test_one_bit_codes_equal_signs():
    """A predictor of one bit is the binary network, whatever its quantiser step."""
    values = np.random.default_rng(0).standard_normal((4, 130)).astype(np.float32)
    steps = np.full(4, 0.3, np.float32)
    assert (pack_joint_codes(values[:, :50], steps, values[:, 50:], steps, 1)[0] == pack_signs(values)).all()


def test_codes_out_of_range_are_clipped():
    values, steps = np.array([[-1e30, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1e30]], np.float32), np.ones(1, np.float32)
    packed = pack_joint_codes(values, steps, values[:, :0], steps, 2)[:, 0, 0]
    codes = [
        int(packed[0] >> np.uint64(i) & np.uint64(1)) + 2 * int(packed[1] >> np.uint64(i) & np.uint64(1))
        for i in range(8)
    ]
    assert codes == [0, 0, 1, 1, 2, 2, 3, 3]


@given(CODES, CODES, st.sampled_from([0.1, 0.5, 2.0]))
def test_ternary_products_equal_integer_products(inputs, weights, least):
    leasts = np.full(3, least, np.float32)
    packed = [pack_joint_ternary(v[:, :66], leasts, v[:, 66:], leasts) for v in (inputs, weights)]
    result = np.zeros((3, 3), np.int32)
    add_ternary_products(packed[0], np.ascontiguousarray(packed[1].transpose(0, 2, 1)), result)
    codes = [naive_ternary(v, np.float32(least)) for v in (inputs, weights)]
    assert (result == codes[0] @ codes[1].T).all()


def test_products_of_unequal_planes_are_refused():
    with pytest.raises(ValueError, match="planes"):
        code_products(np.zeros((2, 1, 1), np.uint64), np.zeros((3, 1, 1), np.uint64), 64)


@given(arrays(np.float32, (3, 9), elements=FLOATS))
def test_mean_magnitudes_equal_numpy(values):
    exact = np.abs(values.astype(np.float64)).mean(axis=1)
    assert np.allclose(mean_magnitudes(values[:, :4], values[:, 4:]), exact, rtol=1e-6)


@pytest.mark.parametrize("advance", [update_cell, advance_cell])
def test_unknown_kernel_id_raises_instead_of_running_another_cell(advance):
    products, bias, state = np.zeros((2, 4, 3), np.float32), np.zeros((4, 3), np.float32), np.zeros((2, 3), np.float32)
    unknown = CellUpdate(99, np.float32(0), bias, np.zeros((0, 3), np.float32), NO_WEIGHTS, UNROUNDED)
    with pytest.raises(ValueError, match="kernel id"):
        advance(unknown, products, state, state)


def test_cell_kernels_read_as_many_products_as_their_cells_store():
    assert {cell.kernel_id: cell.n_products for cell in CELLS.values()} == N_PRODUCTS
    having = {cell.kernel_id: len(cell.peephole_gates) for cell in CELLS.values() if cell.peephole_gates}
    assert having == N_PEEPHOLES
