"""Free Spoken Digit Dataset (Jackson et al.): recordings of single digits, joined to strings of digits.

A recording is a file DIGIT_SPEAKER_INDEX.wav, 8 kHz mono 16 bit. Indices 0-4 are for testing, 5-7 for validation,
the rest for training.
"""

from __future__ import annotations

import re
import struct
import wave
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archsim.corpora.roots import check_split, data_root, first_folder
from archsim.errors import TraceError
from archsim.reading import is_folder, require_regular
from archsim.traceio.trace import Trace

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SAMPLE_RATE_HZ = 8000
STRINGS_SEED = 2026
_MIN_DIGITS, _MAX_DIGITS = 3, 7
_MIN_STRINGS = 300
_NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav$")

I16 = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Recording:
    """Recording of one digit by one speaker."""

    digit: int
    speaker: str
    index: int
    samples: I16


def fsdd_trace(split: str, root: Path | None = None) -> Trace:
    """Make a trace of strings of three to seven digits from the recordings of a folder.

    Splits: `test` takes the recordings of index 0-4 as the corpus itself does, `valid` those of 5-7, `train`
    the others, `all` takes every recording. The strings of a split are always the same.
    """
    root = root or data_root()
    candidates = [root, root / "recordings", root / "fsdd" / "recordings"]
    folder = first_folder(candidates, lambda path: any(path.glob("*.wav")), "recordings like 7_theo_12.wav")
    strings = strings_of_split(folder, split)
    trace = Trace.from_audio(
        [samples for samples, _ in strings],
        [transcript for _, transcript in strings],
        sample_rate_hz=SAMPLE_RATE_HZ,
        name=f"fsdd-{split}",
    )
    return trace.described("spoken digit strings", "Free Spoken Digit Dataset, Jackson et al., CC BY-SA 4.0")


def split_of(index: int) -> str:
    """Return the split to which recordings of an index belong."""
    return "test" if index <= 4 else "valid" if index <= 7 else "train"


def read_recordings(folder: Path, split: str = "all") -> list[Recording]:
    """Read the recordings of one split, ordered by speaker, digit and index."""
    check_split(split)
    named = sorted((speaker, digit, index, path) for path, digit, speaker, index in _named_files(folder))
    wanted = [entry for entry in named if split in ("all", split_of(entry[2]))]
    if not wanted:
        raise TraceError(f"{folder}: no recording of split {split!r} in it, need files like 7_theo_12.wav")
    return [Recording(digit, speaker, index, read_samples(path)) for speaker, digit, index, path in wanted]


def read_samples(path: Path) -> I16:
    """Return the samples of an 8 kHz mono 16-bit WAV file."""
    require_regular(path, TraceError, "a WAV file")
    try:
        with wave.open(str(path)) as file:
            form = file.getframerate(), file.getnchannels(), 8 * file.getsampwidth()
            frames = file.getnframes()
            data = file.readframes(frames)
    except (wave.Error, EOFError, OSError, RuntimeError, struct.error) as error:
        reason = str(error) or "it ends too soon"
        raise TraceError(f"{path}: cannot be read as WAV: {reason}") from None
    if form != (SAMPLE_RATE_HZ, 1, 16):
        raise TraceError(f"{path}: {form[0]} Hz, {form[1]} channels, {form[2]} bit; need {SAMPLE_RATE_HZ} Hz, 1, 16")
    if not frames or len(data) != 2 * frames:
        raise TraceError(f"{path}: {len(data)} bytes of samples where its header says {2 * frames}: cut short?")
    return np.frombuffer(data, "<i2").astype(np.int16)


def strings_of_split(folder: Path, split: str) -> list[tuple[I16, str]]:
    """Return the digit strings of a split: always the same, with every recording in at least one."""
    recordings = read_recordings(folder, split)
    return digit_strings(recordings, max(_MIN_STRINGS, len(recordings) // _MIN_DIGITS), STRINGS_SEED)


def digit_strings(recordings: Sequence[Recording], count: int, seed: int) -> list[tuple[I16, str]]:
    """Return `count` strings of 3-7 digits of one speaker each, with transcripts like `three one four`.

    The next speaker is the one with the smallest used share of their recordings. Each recording is used once
    before any other of that speaker is used again.
    """
    rng = np.random.default_rng(seed)
    by_speaker: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        by_speaker[recording.speaker].append(recording)
    decks = {speaker: _endless(own, rng) for speaker, own in by_speaker.items()}
    used = dict.fromkeys(by_speaker, 0)
    strings = []
    for _ in range(count):
        speaker = min(used, key=lambda name: used[name] / len(by_speaker[name]))
        digits = [next(decks[speaker]) for _ in range(rng.integers(_MIN_DIGITS, _MAX_DIGITS + 1))]
        used[speaker] += len(digits)
        strings.append((_joined(digits, rng), " ".join(WORDS[digit.digit] for digit in digits)))
    return strings


def _named_files(folder: Path) -> Iterator[tuple[Path, int, str, int]]:
    """Yield path, digit, speaker and index of every WAV file in a folder."""
    if not is_folder(folder):
        raise TraceError(f"{folder}: no such folder")
    for path in folder.glob("*.wav"):
        match = _NAME.fullmatch(path.name)
        if not match:
            raise TraceError(f"{path}: need a name DIGIT_SPEAKER_INDEX.wav, such as 7_theo_12.wav")
        yield path, int(match[1]), match[2], int(match[3])


def _endless(recordings: list[Recording], rng: np.random.Generator) -> Iterator[Recording]:
    while True:
        for i in rng.permutation(len(recordings)):
            yield recordings[i]


def _joined(digits: list[Recording], rng: np.random.Generator) -> I16:
    """Join digits with pauses between them, random levels, and white noise over the whole string."""
    parts: list[NDArray[np.floating]] = [np.zeros(_seconds(0.1, 0.3, rng))]
    for digit in digits:
        parts += [digit.samples * rng.uniform(0.8, 1.25), np.zeros(_seconds(0.05, 0.35, rng))]
    parts.append(np.zeros(_seconds(0.2, 0.3, rng)))
    signal = np.concatenate(parts)
    loudness = float(np.sqrt(np.mean(signal**2)))
    signal += rng.normal(0, max(0.5, loudness * 10 ** rng.uniform(-2.5, -2)), len(signal))
    return np.clip(np.rint(signal), -32768, 32767).astype(np.int16)


def _seconds(low: float, high: float, rng: np.random.Generator) -> int:
    return round(rng.uniform(low, high) * SAMPLE_RATE_HZ)
