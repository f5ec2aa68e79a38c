"""Training data of the speech networks: strings of recorded and of synthetic digits, made anew for each batch.

Speed, level, pauses and noise are random, so that six speakers cover more variation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from make_digits import TRAINING_VOICES, spoken_digits
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from archsim.corpora.digits import I16, SAMPLE_RATE_HZ, WORDS, Recording
from archsim.ir.speech import HOP_SAMPLES, MIN_SAMPLES
from archsim.kernels.arrays import F32

LABELS = {word: label for label, word in enumerate(WORDS, start=1)}
NO_LABEL = -100
_SPOKEN_SEED = 8000
_LONGEST = round(4.0 * SAMPLE_RATE_HZ)
Features = Callable[[np.ndarray], F32]


class DigitString(NamedTuple):
    """Speech, its transcript and, if known, the first and last sample at which the label of each word is expected."""

    samples: np.ndarray
    transcript: str
    spans: list[tuple[int, int]] | None = None


class Batch(NamedTuple):
    """Padded features (T, B, I), their lengths, concatenated labels, and the number of labels per string.

    `aligned` (T, B) is the label of each step, or NO_LABEL.
    """

    features: Tensor
    lengths: Tensor
    labels: Tensor
    label_lengths: Tensor
    aligned: Tensor


def collate(strings: Sequence[DigitString], features: Features) -> Batch:
    """Convert samples and transcripts to a batch."""
    vectors = [torch.from_numpy(features(string.samples)) for string in strings]
    labels = [[LABELS[word] for word in string.transcript.split()] for string in strings]
    aligned = [_aligned(*entry) for entry in zip(strings, map(len, vectors), labels, strict=True)]
    return Batch(
        pad_sequence(vectors),
        torch.tensor([len(vector) for vector in vectors]),
        torch.tensor([label for string in labels for label in string]),
        torch.tensor([len(string) for string in labels]),
        pad_sequence(aligned, padding_value=NO_LABEL),
    )


def _aligned(string: DigitString, steps: int, labels: list[int]) -> Tensor:
    if string.spans is None:
        return torch.full((steps,), NO_LABEL)
    aligned = torch.zeros(steps, dtype=torch.long)
    for (first, last), label in zip(string.spans, labels, strict=True):
        aligned[first * steps // len(string.samples) : last * steps // len(string.samples)] = label
    return aligned


def batches(strings: Sequence[DigitString], features: Features, frames: int) -> list[Batch]:
    """Return batches of strings of similar length, each with about `frames` frames but at least 16 strings."""
    ordered, made = sorted(strings, key=lambda string: -len(string.samples)), []
    while ordered:
        size = max(16, frames // max(1, len(ordered[0].samples) // HOP_SAMPLES))
        made.append(collate(ordered[:size], features))
        ordered = ordered[size:]
    return made


class StringMaker:
    """Maker of training strings; a label is due from the share `late` of its word to `after` seconds past its end."""

    def __init__(
        self, recordings: Sequence[Recording], synthetic: float, tail: float, late: float, after: float
    ) -> None:
        self.synthetic = synthetic
        self.tail = tail
        self.late = late
        self.after = round(after * SAMPLE_RATE_HZ)
        self.by_speaker: dict[str, list[Recording]] = defaultdict(list)
        for recording in recordings:
            self.by_speaker[recording.speaker].append(recording)
        self.speakers = sorted(self.by_speaker)
        self.spoken = {n: spoken_digits(200, _SPOKEN_SEED + n, TRAINING_VOICES, (n, n)) for n in range(1, 8)}

    def strings(self, digits: tuple[int, int], count: int, rng: np.random.Generator) -> list[DigitString]:
        """Return `count` strings of (least, most) digits, a share of them synthetic, none longer than four seconds."""
        made: list[DigitString] = []
        while len(made) < count:
            make = self._spoken if rng.random() < self.synthetic else self._recorded
            string = make(int(rng.integers(*digits, endpoint=True)), rng)
            if len(string.samples) <= _LONGEST:
                made.append(string)
        return made

    def _spoken(self, digits: int, rng: np.random.Generator) -> DigitString:
        samples, transcript = self.spoken[digits][rng.integers(len(self.spoken[digits]))]
        said = _at_speed(samples, rng.uniform(0.8, 1.25))
        return DigitString(self._finished([_pause(0.0, 0.25, rng), said], rng), transcript)

    def _recorded(self, digits: int, rng: np.random.Generator) -> DigitString:
        """Return a string of recorded digits, mostly of one speaker, sometimes of several."""
        mixed, speaker = rng.random() < 0.2, rng.choice(self.speakers)
        speed, parts, words, spans = rng.uniform(0.85, 1.18), [_pause(0.0, 0.25, rng)], [], []
        for _ in range(digits):
            own = self.by_speaker[rng.choice(self.speakers) if mixed else speaker]
            recording = own[rng.integers(len(own))]
            said = _at_speed(recording.samples, speed * rng.uniform(0.94, 1.06))
            loudness = max(1.0, float(np.sqrt(np.mean(said**2)))) if mixed else 1000.0
            start = sum(map(len, parts))
            spans.append((start + round(self.late * len(said)), start + len(said) + self.after))
            parts += [said * (1000 / loudness * 10 ** rng.uniform(-0.25, 0.25)), _gap(rng)]
            words.append(WORDS[recording.digit])
        return DigitString(self._finished(parts[:-1], rng), " ".join(words), spans)

    def _finished(self, parts: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Return the joined parts with a silent tail and noise."""
        signal = np.concatenate([*parts, _pause(self.tail / 2, self.tail, rng)])
        signal = np.pad(signal, (0, max(0, MIN_SAMPLES - len(signal))))
        loudness = max(1.0, float(np.sqrt(np.mean(signal**2))))
        return signal + _noise(len(signal), rng) * loudness * 10 ** (-rng.uniform(10, 50) / 20)


def _at_speed(samples: I16, speed: float) -> np.ndarray:
    """Return samples at another speed; pitch and formants change as well, which makes another voice."""
    return np.interp(np.arange(0, len(samples) - 1, speed), np.arange(len(samples)), samples)


def _pause(low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(round(rng.uniform(low, high) * SAMPLE_RATE_HZ))


def _gap(rng: np.random.Generator) -> np.ndarray:
    """Return a pause between digits, mostly short and sometimes long."""
    return _pause(0.35, 0.8, rng) if rng.random() < 0.04 else np.zeros(round(0.4 * rng.random() ** 2 * SAMPLE_RATE_HZ))


def _noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of variance 1 whose spectrum falls or rises with a random power of the frequency."""
    spectrum = np.fft.rfft(rng.normal(size=length))
    spectrum *= np.maximum(1, np.arange(len(spectrum))) ** (-rng.uniform(-0.3, 1.0))
    coloured = np.fft.irfft(spectrum, length)
    return np.asarray(coloured / max(1e-9, float(coloured.std())))
