"""Build the bundled traces in traces/ from the texts beside them, and speech with espeak-ng."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from make_digits import spoken_digits

from archsim.cli.exit import exit_code
from archsim.ir.speech import FRONTENDS
from archsim.kernels.numerics.fp16 import to_fp16
from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace

TRACES = Path(__file__).parent.parent / "traces"
LABELS = {"neg": 0, "pos": 1}
DIGIT_STRINGS, DIGITS_SEED = 60, 1
FRONTEND_OF = {"eesen-bilstm": "log-mel-deltas", "ds2-gru": "stacked-spectrogram"}


def columns(name: str) -> list[list[str]]:
    """Return the tab-separated columns of a source."""
    return [line.split("\t", 1) for line in (TRACES / f"{name}.tsv").read_text("utf-8").splitlines()]


def imdb_reviews() -> Trace:
    """Return reviews of invented films. Each line of the source is `pos` or `neg`, a tab and the text."""
    pairs = columns("imdb-lstm")
    trace = Trace.from_texts([text for _, text in pairs], [LABELS[label] for label, _ in pairs], name="imdb-lstm")
    return trace.described(
        "movie reviews of 60 to 200 words, half positive (1), half negative (0)",
        "written for archsim, of films that do not exist; scripts/make_traces.py from traces/imdb-lstm.tsv",
    )


def captions() -> Trace:
    """Return captions of invented photographs. Each line of the source is English, a tab and the German reference."""
    pairs = columns("mnmt-lstm")
    trace = Trace.from_texts([english for english, _ in pairs], [german for _, german in pairs], name="mnmt-lstm")
    return trace.described(
        "image captions in English, lower-cased and tokenised, with German references",
        "written for archsim; scripts/make_traces.py from traces/mnmt-lstm.tsv",
    )


def digit_strings(network: str) -> Trace:
    """Return digit strings as features of a speech network, in the binary16 format of the machine."""
    spoken = spoken_digits(DIGIT_STRINGS, DIGITS_SEED)
    features = FRONTENDS[FRONTEND_OF[network]].features
    frames = [to_fp16(features(samples)) for samples, _ in spoken]
    trace = Trace.from_arrays(frames, [transcript for _, transcript in spoken], name=network)
    return trace.described(
        f"strings of 3 to 7 digits in synthetic voices, {FRONTEND_OF[network]} features",
        "spoken by espeak-ng for archsim; scripts/make_digits.py, scripts/make_traces.py",
    )


def main() -> None:
    """Write every bundled trace, or only the named ones."""
    builders = {"imdb-lstm": imdb_reviews, "mnmt-lstm": captions}
    builders |= {network: lambda network=network: digit_strings(network) for network in FRONTEND_OF}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*builders, []], help="traces to build  [default: all]")
    args = parser.parse_args()
    for name in args.names or builders:
        trace = builders[name]()
        write_trace(trace, TRACES / f"{trace.name}.npz")
        print(f"{trace.name}: {len(trace)} sequences")


if __name__ == "__main__":
    sys.exit(exit_code(main, "make_traces"))
