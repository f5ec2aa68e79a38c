"""Signals and measures that the networks of others share, against what is known of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnxruntime")
import foreign


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_windowed_twice_and_overlapped_frames_are_the_signal(n_frames, seed):
    signal = np.random.default_rng(seed).normal(size=8 * (n_frames + 1))
    window = np.sqrt(np.hanning(17)[:-1])
    whole = foreign.overlapped(foreign.frames_of(signal, window, 8) * window)
    np.testing.assert_allclose(whole, signal[8:-8], atol=1e-12)


def test_mel_filters_have_area_one_and_ascend():
    filters = foreign.mel_filters(8001, 40)
    np.testing.assert_allclose(filters.sum(0), 1, rtol=1e-3)
    assert (filters >= 0).all() and (np.diff(filters.argmax(0)) > 0).all()
    assert np.flatnonzero(filters[:, 0])[0] == 1 and np.flatnonzero(filters[:, -1])[-1] == 7999


@given(st.floats(-20, 40), st.floats(0.01, 100), st.integers(0, 2**32 - 1))
def test_si_sdr_is_the_ratio_to_orthogonal_noise_at_any_level(ratio_db, level, seed):
    clean, noise = np.random.default_rng(seed).normal(size=(2, 100))
    noise -= clean * (clean @ noise) / (clean @ clean)
    noise *= np.sqrt((clean @ clean) / (noise @ noise)) * 10 ** (-ratio_db / 20)
    assert foreign.si_sdr_db(level * (clean + noise), clean) == pytest.approx(ratio_db, abs=1e-6)


@given(st.floats(-10, 30), st.integers(0, 100))
def test_pink_noise_has_its_level_and_falls_by_octaves(snr_db, seed):
    clean = np.sin(np.arange(4096) / 3)
    noise = foreign.pink_noise(clean, snr_db, seed)
    assert 10 * np.log10(np.sum(clean**2) / np.sum(noise**2)) == pytest.approx(snr_db)
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert power[1:64].mean() > 4 * power[1024:].mean()


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [([1, 2, 3], [1, 2, 3], (0, 3)), ([1, 3], [1, 2, 3], (100, 3)), ([4], [], (100, 0)), ([], [7, 8], (200, 2))],
)
def test_edits_count_symbols(answer, reference, expected):
    assert foreign.edits(answer, reference) == expected


def test_losses_of_equal_answers_are_zero():
    a = np.array([0.6, 0.8])
    assert foreign.flips(a > 0.7, a > 0.7) == (0, 2) and foreign.flips(a > 0.7, a > 0.5) == (100, 2)
    assert foreign.cosine_distance(a, a) == pytest.approx((0, 1)) and foreign.lost(2.5, 3.0) == (0.5, 1)
    assert foreign.cosine_distance(a, a[::-1]) == pytest.approx((4, 1))
