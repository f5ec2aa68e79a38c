"""Front ends, which convert speech samples to feature vectors for the speech networks.

Every feature is normalised over its utterance to mean 0 and variance 1. No constants are therefore stored, the level
does not matter, and the signs that the binary network reads are balanced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from archsim.errors import NetworkError, TraceError, did_you_mean
from archsim.kernels.arrays import F32

F64 = NDArray[np.float64]

SAMPLE_RATE_HZ = 8000
HOP_SAMPLES = 80
MIN_SAMPLES = 800
MEL_BANDS = 40
SPECTRUM_BINS = 81
DELTA_REACH = 4
FLOOR = 3e-3
"""Power added to a band, relative to its mean over the utterance, so that a pause is at most 25 dB lower."""
_MEL_WINDOW = 200
_MEL_FFT = 256
_SPECTRUM_WINDOW = 160
_TINY = 1e-12


class Frontend(NamedTuple):
    """Feature extractor with name, function, size of its vectors and expected sample rate."""

    name: str
    features: Callable[[np.ndarray], F32]
    input_size: int
    sample_rate_hz: int


def log_mel_deltas(samples: np.ndarray) -> F32:
    """Return 40 log-mel energies of 25 ms every 10 ms, with first and second deltas, (T, 120)."""
    mel = _log(_power(_checked(samples), _MEL_WINDOW, _MEL_FFT) @ _mel_filters())
    deltas = _deltas(mel)
    return _normalised(np.hstack((mel, deltas, _deltas(deltas))))


def stacked_spectrogram(samples: np.ndarray) -> F32:
    """Return the 81-bin log power spectra of 20 ms every 10 ms, two of them stacked every 20 ms, (T, 162)."""
    spectra = _log(_power(_checked(samples), _SPECTRUM_WINDOW, _SPECTRUM_WINDOW))
    steps = len(spectra) // 2
    return _normalised(spectra[: 2 * steps].reshape(steps, 2 * SPECTRUM_BINS))


FRONTENDS = {
    frontend.name: frontend
    for frontend in (
        Frontend("log-mel-deltas", log_mel_deltas, 3 * MEL_BANDS, SAMPLE_RATE_HZ),
        Frontend("stacked-spectrogram", stacked_spectrogram, 2 * SPECTRUM_BINS, SAMPLE_RATE_HZ),
    )
}


def frontend_named(name: str, where: str = "") -> Frontend:
    """Return the front end called `name`; raise NetworkError with `where` and the alternatives."""
    if name not in FRONTENDS:
        nearest = did_you_mean(name, FRONTENDS)
        raise NetworkError(f"{where}frontend {name!r} is not known{nearest}; accepted: {', '.join(FRONTENDS)}")
    return FRONTENDS[name]


def _checked(samples: np.ndarray) -> F64:
    signal = np.asarray(samples)
    if signal.ndim != 1 or signal.dtype.kind not in "iuf":
        raise TraceError(f"speech samples of shape {signal.shape}, {signal.dtype}: need one dimension of numbers")
    if len(signal) < MIN_SAMPLES:
        raise TraceError(f"speech of {len(signal)} samples: need at least {MIN_SAMPLES}, 0.1 s at {SAMPLE_RATE_HZ} Hz")
    # one scale for all signals, because a quiet float signal would vanish below _TINY in the logarithm
    signal = signal.astype(np.float64)
    if not np.isfinite(signal).all():
        raise TraceError("speech samples: some are not finite")
    return signal / max(float(np.abs(signal).max()), _TINY)


def _power(signal: F64, window: int, points: int) -> F64:
    """Return the power spectrum of each Hamming-windowed frame, (T, points / 2 + 1)."""
    frames = sliding_window_view(signal, window)[::HOP_SAMPLES]
    spectra = np.fft.rfft(frames * np.hamming(window), points)
    return np.asarray(spectra.real**2 + spectra.imag**2, np.float64)


def _log(power: F64) -> F64:
    return np.asarray(np.log(power + FLOOR * power.mean(0) + _TINY), np.float64)


def _mel_filters() -> F64:
    """Return triangles of equal width on the mel scale, (bins, bands), none narrower than one bin."""
    top = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MEL_BANDS + 2) / 2595) - 1) * _MEL_FFT / SAMPLE_RATE_HZ
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.arange(_MEL_FFT // 2 + 1)[:, None]
    rising = (bins - centre) / np.maximum(centre - low, 1) + 1
    falling = (centre - bins) / np.maximum(high - centre, 1) + 1
    return np.asarray(np.maximum(0, np.minimum(rising, falling)), np.float64)


def _deltas(features: F64) -> F64:
    """Return the slope of a straight line through the frames around each frame; the ends are repeated."""
    steps = len(features)
    padded = np.pad(features, ((DELTA_REACH, DELTA_REACH), (0, 0)), mode="edge")
    slope = sum(
        n * (padded[DELTA_REACH + n :][:steps] - padded[DELTA_REACH - n :][:steps]) for n in range(1, DELTA_REACH + 1)
    )
    return np.asarray(slope) / (2 * sum(n * n for n in range(1, DELTA_REACH + 1)))


def _normalised(features: F64) -> F32:
    centred = features - features.mean(0)
    # the maximum keeps a constant feature at zero
    return np.asarray(centred / np.maximum(centred.std(0), 1e-6), np.float32)
