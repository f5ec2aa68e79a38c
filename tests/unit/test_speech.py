"""Front ends and CTC decoding: properties of features, and the reading of a best path."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archsim
from archsim.errors import ArchsimError
from archsim.inference.head import transcribe
from archsim.ir.heads import CtcHead
from archsim.ir.speech import FRONTENDS, HOP_SAMPLES

SAMPLES = (np.sin(np.arange(8000) * 0.4) * np.hanning(8000) * 9000).astype(np.int16)


@pytest.mark.parametrize("front", FRONTENDS.values(), ids=FRONTENDS)
def test_features_have_zero_mean_and_ignore_level(front):
    """The binary network sees signs, so every feature has mean 0 over its utterance."""
    features = front.features(SAMPLES)
    assert features.dtype == np.float32 and features.shape[1] == front.input_size
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-5)
    assert np.abs(features).max() < 20
    np.testing.assert_allclose(front.features(SAMPLES / 8.0), features, atol=1e-4)


def test_frame_rates_are_one_per_10_and_per_20_ms():
    steps = {name: len(front.features(SAMPLES)) for name, front in FRONTENDS.items()}
    frames = (len(SAMPLES) - 200) // HOP_SAMPLES + 1
    assert steps["log-mel-deltas"] == frames
    assert steps["stacked-spectrogram"] == ((len(SAMPLES) - 160) // HOP_SAMPLES + 1) // 2


@pytest.mark.parametrize("front", FRONTENDS.values(), ids=FRONTENDS)
def test_features_of_silence_are_zero_and_invalid_samples_refused(front):
    np.testing.assert_allclose(front.features(np.zeros(4000, np.int16)), 0, atol=1e-6)
    for samples, message in (
        (np.zeros(100), "need at least 800"),
        (np.full(4000, np.nan), "not finite"),
        (np.zeros((2, 4000)), "one dimension"),
    ):
        with pytest.raises(ArchsimError, match=message):
            front.features(samples)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_best_path_merges_repeats_and_drops_blanks(path):
    """Graves et al., ICML 2006: `a a - a b b` reads a a b."""
    head = CtcHead(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), ("", "a", "b"))
    expected = [head.labels[p] for i, p in enumerate(path) if p and (i == 0 or p != path[i - 1])]
    assert transcribe(head, np.eye(3, dtype=np.float32)[path]) == " ".join(expected)


def test_audio_for_a_network_without_front_end_is_refused(tiny_lstm):
    with pytest.raises(ArchsimError, match="holds audio, tiny-lstm has no front end: it takes frames of 5 numbers"):
        archsim.simulate(tiny_lstm, archsim.Trace.from_audio([SAMPLES], sample_rate_hz=8000), threshold=0.1)


@pytest.mark.parametrize(
    "recording, rate, message",
    [
        (SAMPLES.astype(np.float32), 8000, "sequence 0 is float32 of shape .8000,., need int16"),
        (SAMPLES[None], 8000, "need int16 samples of shape"),
        (SAMPLES[:0], 8000, "need int16 samples of shape"),
        (SAMPLES, 0, "sample_rate_hz = 0, need"),
        (SAMPLES, "8k", "sample_rate_hz = '8k', need"),
    ],
)
def test_invalid_recording_is_refused(recording, rate, message):
    with pytest.raises(ArchsimError, match=message):
        archsim.Trace.from_audio([recording], sample_rate_hz=rate)
