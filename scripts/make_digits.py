"""Make digit strings with the speech synthesiser espeak-ng, so that the bundled trace contains no third-party data.

BUNDLED_VOICES speak the bundled trace. TRAINING_VOICES, which are all different from them, may be mixed into
training data. Both lists hold (voice, variant) pairs of espeak-ng.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import wave
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from archsim.cli.exit import exit_code
from archsim.corpora.digits import I16, SAMPLE_RATE_HZ, WORDS

Voice = tuple[str, str]

BUNDLED_VOICES: tuple[Voice, ...] = (
    *(("en-us", variant) for variant in ("m3", "f2", "Andy")),
    *(("en-gb", variant) for variant in ("m7", "f4", "Annie")),
    *(("en-gb-scotland", variant) for variant in ("m2", "f3")),
    *(("en-gb-x-rp", variant) for variant in ("m8", "linda")),
)
# Files of espeak-ng's folder voices/!v. It ignores an unknown name, or one in the wrong case, without a warning.
_TRAINING_VARIANTS = (
    *("m1", "m4", "m5", "m6", "f1", "f5", "Alex", "Alicia", "Andrea", "aunty", "belinda", "Denis", "Diogo", "ed"),
    *("Gene", "Hugo", "iven", "Jacky", "Lee", "Marco", "Mario", "max", "Michael", "miguel", "Mike", "pablo", "paul"),
    *("pedro", "quincy", "rob", "robert", "steph", "zac", "anika", "grandma", "klatt2", "norbert", "shelby", "victor"),
    *("adam", "antonio", "benjamin", "david", "john", "marcelo", "sandro", "travis"),
)
TRAINING_VOICES: tuple[Voice, ...] = tuple(
    (accent, variant)
    for accent in ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
    for variant in _TRAINING_VARIANTS
)
_TAPS = 48


def spoken_digits(
    count: int, seed: int, voices: Sequence[Voice] = BUNDLED_VOICES, lengths: tuple[int, int] = (3, 7)
) -> list[tuple[I16, str]]:
    """Return `count` spoken strings with transcripts like `three one four`; voices take turns."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(voices))
    strings = []
    for i in range(count):
        voice, variant = voices[order[i % len(order)]]
        digits = rng.integers(0, 10, rng.integers(lengths[0], lengths[1] + 1))
        words = [WORDS[digit] for digit in digits]
        # a comma makes a pause, without which words run into each other
        text = (", " if rng.random() < 0.7 else " ").join(words)
        rate, pitch, gap = rng.integers(110, 171), rng.integers(30, 71), rng.integers(2, 13)
        strings.append((speak(text, f"{voice}+{variant}", int(rate), int(pitch), int(gap)), " ".join(words)))
    return strings


def speak(text: str, voice: str, rate: int, pitch: int, gap: int) -> I16:
    """Return the speech of espeak-ng at 8 kHz; `rate` is in words per minute, `gap` between words in 10 ms."""
    options = ["-v", voice, "-s", str(rate), "-p", str(pitch), "-g", str(gap), "--stdout"]
    said = subprocess.run(["espeak-ng", *options, text], capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(said)) as file:
        source_hz = file.getframerate()
        # the header of a stream does not know its length, so read all frames
        samples = np.frombuffer(file.readframes(len(said)), "<i2")
    return resampled(samples, source_hz)


def resampled(samples: I16, source_hz: int) -> I16:
    """Return samples resampled to 8 kHz with a windowed sinc that passes frequencies below 4 kHz."""
    divisor = np.gcd(source_hz, SAMPLE_RATE_HZ)
    up, down = SAMPLE_RATE_HZ // int(divisor), source_hz // int(divisor)
    position = np.arange(len(samples) * up // down) * down
    taps = position[:, None] // up + np.arange(-_TAPS, _TAPS + 2)
    padded = np.pad(samples.astype(np.float64), _TAPS + 2)
    signal = np.einsum("nt,nt->n", padded[taps + _TAPS + 2], _phases(up, down)[position % up])
    return np.clip(np.rint(signal), -32768, 32767).astype(np.int16)


@cache
def _phases(up: int, down: int) -> np.ndarray:
    """Return one filter per fraction of a source sample at which an output sample may lie."""
    distance = np.arange(-_TAPS, _TAPS + 2) - np.arange(up)[:, None] / up
    cutoff = 0.95 * up / down
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip(distance / (_TAPS + 1), -1, 1))
    return cutoff * np.sinc(cutoff * distance) * window


def write_wav(path: Path, samples: I16) -> None:
    """Write samples as an 8 kHz mono 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())


def main() -> None:
    """Write strings as WAV files for listening."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the WAV files")
    parser.add_argument("--count", type=int, default=60, help="strings (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of words, rates and pitches (default: %(default)s)")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for i, (samples, transcript) in enumerate(spoken_digits(args.count, args.seed)):
        write_wav(args.output / f"{i:03d}_{transcript.replace(' ', '-')}.wav", samples)


if __name__ == "__main__":
    sys.exit(exit_code(main, "make_digits"))
