"""Kernels for sums of products of codes, against exact sums (SEMANTICS 1.2)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.kernels.numerics.integer_tiles import TILE, from_tiles, to_tiles
from archsim.kernels.numerics.products import LARGEST_INPUT_COUNT, accumulate, integer_weights
from archsim.kernels.prediction.delta_update import add_code_changes


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 150), st.integers(1, 140)),
    seed=st.integers(0, 99),
    extreme=st.booleans(),
)
def test_integer_products_equal_64_bit_sums_of_whatever_shape(shape, seed, extreme):
    B, N, M = shape
    rng = np.random.default_rng(seed)
    codes = np.full((M, N), -127, np.int16) if extreme else rng.integers(-127, 128, (M, N)).astype(np.int16)
    inputs = np.full((B, N), 127) if extreme else rng.integers(-127, 128, (B, N))
    spacings, spacing = rng.random(M).astype(np.float32), np.float32(0.03)
    weights = integer_weights(codes, spacings, spacing)
    out = np.zeros((B, M), np.float32)
    accumulate((inputs * spacing).astype(np.float32), weights, out)
    exact = inputs.astype(np.int64) @ codes.T.astype(np.int64)
    np.testing.assert_array_equal(out, (spacings.astype(float) * float(spacing) * exact).astype(np.float32))
    np.testing.assert_array_equal(from_tiles(to_tiles(codes), M, N), codes)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 40), st.integers(1, 40), st.integers(1, 140)),
    seed=st.integers(0, 99),
    skip=st.sampled_from([0.0, 0.7, 1.0]),
)
def test_sums_of_changed_codes_equal_products_of_the_propagated_ones_of_whatever_shape(shape, seed, skip):
    B, n_x, n_h, M = shape
    rng = np.random.default_rng(seed)
    spacings = np.float32(0.03), np.float32(0.1)
    levels = np.repeat(spacings, (n_x, n_h)).astype(np.float32)
    of_x, of_h = (
        integer_weights(rng.integers(-127, 128, (M, n)).astype(np.int16), rng.random(M).astype(np.float32), spacing)
        for n, spacing in zip((n_x, n_h), spacings, strict=True)
    )
    sums = np.zeros((B, 2, len(of_x.tiles) * TILE), np.int32)
    propagated, out, expected = (np.zeros((B, n), np.float32) for n in (n_x + n_h, M, M))
    for _ in range(3):
        values = rng.integers(-127, 128, propagated.shape).astype(np.float32) * levels
        skipped = rng.random(values.shape) < skip
        entered = np.where(skipped, propagated, values)
        add_code_changes(values, propagated, skipped, n_x, (of_x, of_h), sums, out)
        np.testing.assert_array_equal(propagated, entered)
        expected[:] = 0
        accumulate(entered[:, :n_x].copy(), of_x, expected)
        accumulate(entered[:, n_x:].copy(), of_h, expected)
        np.testing.assert_array_equal(out, expected)


def test_the_longest_sum_that_int32_is_sure_to_hold_is_exact_and_a_longer_one_is_refused():
    codes = np.full((1, LARGEST_INPUT_COUNT), 127, np.int16)
    one, out = np.ones(1, np.float32), np.zeros((1, 1), np.float32)
    accumulate(np.full(codes.shape, -127, np.float32), integer_weights(codes, one, np.float32(1)), out)
    assert out[0, 0] == np.float32(-(127**2) * LARGEST_INPUT_COUNT)
    with pytest.raises(ValueError, match="inputs: sums of 8-bit products fit int32 up to 133144"):
        integer_weights(np.zeros((1, LARGEST_INPUT_COUNT + 1), np.int16), one, np.float32(1))
