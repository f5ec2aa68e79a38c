"""The Free Spoken Digit Dataset as strings of digits (Jackson et al.)."""

from __future__ import annotations

from pathlib import Path

from archsim.corpora.digits import SAMPLE_RATE_HZ, strings_of_split
from archsim.corpora.roots import data_root, first_folder
from archsim.traceio.trace import Trace


def fsdd_trace(split: str, root: Path | None = None) -> Trace:
    """Make strings of three to seven digits out of the recordings DIGIT_SPEAKER_INDEX.wav of a folder.

    Splits: `test` has the recordings of index 0-4 as the corpus itself does, `valid` those of 5-7, `train`
    the others, `all` every one. The strings of a split are always the same.
    """
    root = root or data_root()
    places = [root, root / "recordings", root / "fsdd" / "recordings"]
    folder = first_folder(places, lambda place: any(place.glob("*.wav")), "recordings like 7_theo_12.wav")
    strings = strings_of_split(folder, split)
    trace = Trace.from_audio(
        [samples for samples, _ in strings],
        [transcript for _, transcript in strings],
        sample_rate_hz=SAMPLE_RATE_HZ,
        name=f"fsdd-{split}",
    )
    return trace.described("spoken digit strings", "Free Spoken Digit Dataset, Jackson et al., CC BY-SA 4.0")
