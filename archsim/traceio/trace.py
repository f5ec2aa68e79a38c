"""Trace: the input sequences of a run, with targets if the task is known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from archsim.activity import PassKey
from archsim.errors import TraceError
from archsim.ownership import OwnsArrays, own
from archsim.traceio.starts import Start, make_starts, starts_of
from archsim.validation import whole_number

BYTE_ORDER_MARK = "\ufeff"
MAX_RATE_HZ = 10_000_000
UNNAMED = "arrays"
"""Name of a trace made in memory; a trace read from a file that says this takes the file's name."""
Kind = Literal["frames", "tokens", "text", "audio"]
Targets = Sequence[int] | Sequence[str]
"""One class or one text (transcript, reference translation) per sequence."""


@dataclass(frozen=True, eq=False)
class Trace(OwnsArrays):
    """Sequences of one kind: `frames` (T, I) float32, `tokens` (T,) int64, `text` strings, `audio` (T,) int16.

    Its arrays are its own and read-only, so that later changes to the caller's arrays change neither data nor digest.
    """

    name: str
    kind: Kind
    sequences: tuple[Any, ...] = field(repr=False)
    targets: tuple[int, ...] | tuple[str, ...] | None = field(default=None, repr=False)
    sample_rate_hz: int | None = None
    """Sample rate of audio; None for other kinds."""
    description: str = ""
    provenance: str = ""
    starts: tuple[Start, ...] | None = field(default=None, repr=False)
    """Initial states by layer and direction; None if all layers start at zero."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sequences:
            raise TraceError(f"trace {self.name}: no sequences, need at least one")
        if self.targets is not None and len(self.targets) != len(self.sequences):
            raise TraceError(
                f"trace {self.name}: {len(self.targets)} targets for {len(self.sequences)} sequences, need one each"
            )
        for start in self.starts or ():
            if len(start.h) != len(self.sequences):
                states = f"initial states of {len(start.h)} sequences for {len(self.sequences)}"
                raise TraceError(f"trace {self.name}: {states}, need one each: use Trace.only to choose sequences")

    def __len__(self) -> int:
        return len(self.sequences)

    @classmethod
    def from_arrays(cls, arrays: Iterable[ArrayLike], targets: Targets | None = None, *, name: str = UNNAMED) -> Trace:
        """Make a trace of one array per sequence: (T, I) numbers are frames, (T,) integers are tokens.

        Raises TraceError naming the sequence for an empty, non-finite or ill-shaped array.
        """
        if isinstance(arrays, np.ndarray) and arrays.ndim < 3:
            raise TraceError(
                f"trace {name}: got one array of shape {arrays.shape}, need a list of arrays, one per sequence"
            )
        checked = [_checked(f"trace {name}: sequence {i}", array) for i, array in enumerate(arrays)]
        shapes = {array.shape[1:] for array in checked}
        if len(shapes) > 1:
            widths = ", ".join(str(shape[0]) if shape else "tokens" for shape in sorted(shapes))
            raise TraceError(f"trace {name}: sequences differ in width ({widths}), need the same in all")
        kind: Kind = "frames" if not checked or checked[0].ndim == 2 else "tokens"
        return cls(name, kind, tuple(checked), _checked_targets(name, targets))

    @classmethod
    def from_audio(
        cls,
        recordings: Iterable[ArrayLike],
        targets: Targets | None = None,
        *,
        sample_rate_hz: int,
        name: str = UNNAMED,
    ) -> Trace:
        """Make a trace of one (T,) int16 array of samples per sequence; a network's front end turns them into frames.

        Raises TraceError naming the sequence if samples are missing or of another type or shape.
        """
        rate_hz = whole_number(sample_rate_hz)
        if rate_hz is None or not 1 <= rate_hz <= MAX_RATE_HZ:
            shown = f"{sample_rate_hz!r:.40}"
            raise TraceError(f"trace {name}: sample_rate_hz = {shown}, need a whole number from 1 to {MAX_RATE_HZ}")
        checked = []
        for i, recording in enumerate(recordings):
            samples = _as_array(f"trace {name}: sequence {i}", recording)
            if samples.ndim != 1 or samples.dtype != np.int16 or samples.size == 0:
                got = f"{samples.dtype} of shape {samples.shape}"
                raise TraceError(f"trace {name}: sequence {i} is {got}, need int16 samples of shape (T,)")
            checked.append(own(samples))
        return cls(name, "audio", tuple(checked), _checked_targets(name, targets), rate_hz)

    @classmethod
    def from_texts(cls, texts: Iterable[str], targets: Targets | None = None, *, name: str = UNNAMED) -> Trace:
        """Make a trace of texts; a network's vocabulary turns them into tokens."""
        if isinstance(texts, str):
            raise TraceError(f"trace {name}: got one text, need a list of texts, one per sequence")
        checked = []
        for i, text in enumerate(texts):
            if not isinstance(text, str) or not text.removeprefix(BYTE_ORDER_MARK).strip():
                raise TraceError(f"trace {name}: sequence {i} is {text!r}, need a text that is not blank")
            checked.append(_encodable(f"trace {name}: sequence {i}", text))
        return cls(name, "text", tuple(checked), _checked_targets(name, targets))

    def described(self, description: str, provenance: str) -> Trace:
        """Return a copy with a description and a provenance."""
        return replace(self, description=description, provenance=provenance)

    def holding(self, kind: Kind, sequences: Iterable[np.ndarray[Any, Any]]) -> Trace:
        """Return a copy with the sequences in another form (texts as tokens, audio as frames); take over the arrays."""
        taken = tuple(sequences)
        for sequence in taken:
            sequence.flags.writeable = False
        return replace(self, kind=kind, sequences=taken, sample_rate_hz=None)

    def limit(self, sequences: int | None) -> Trace:
        """Return a copy with the first `sequences` sequences, or the whole trace for None."""
        if sequences is None:
            return self
        number = whole_number(sequences)
        if number is None or number < 1:
            raise TraceError(f"limit = {sequences!r}: need a whole number, at least 1 sequence")
        return self.only(range(min(number, len(self))))

    def only(self, sequences: Sequence[int]) -> Trace:
        """Return a copy with these sequences, in this order, and their targets and initial states."""
        for i in sequences:
            if not 0 <= i < len(self):
                raise TraceError(f"trace {self.name}: no sequence {i}, need numbers from 0 to {len(self) - 1}")
        targets: Any = None if self.targets is None else tuple(self.targets[i] for i in sequences)
        starts = None if self.starts is None else starts_of(self.starts, sequences)
        return replace(self, sequences=tuple(self.sequences[i] for i in sequences), targets=targets, starts=starts)

    def starting_in(self, states: Mapping[PassKey, Any]) -> Trace:
        """Return a copy whose sequences start in these states, instead of zeros.

        states: by (layer, direction) either h, (S, H) numbers, a row per sequence, or a pair of h and c. A state that
        is not given is zero. Raises TraceError for states of another shape, or that are not finite.
        """
        return replace(self, starts=make_starts(f"trace {self.name}", len(self), states) or None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 digest of the sequences, targets and initial states."""
        sha = hashlib.sha256(f"{self.kind} {self.sample_rate_hz} {len(self)} {self.targets}".encode())
        for sequence in self.sequences:
            data = sequence.encode() if isinstance(sequence, str) else sequence.tobytes()
            sha.update(len(data).to_bytes(8, "little") + data)
        # Nothing is added without states, so that digests of traces are those of versions that knew no states.
        for start in self.starts or ():
            sha.update(f"start {start.layer} {start.direction} {start.h.shape}".encode())
            sha.update(start.h.tobytes() + start.c.tobytes())
        return sha.hexdigest()


def _checked(where: str, values: ArrayLike) -> np.ndarray[Any, Any]:
    given = _as_array(where, values)
    if given.ndim == 1 and given.dtype.kind in "iu":
        if given.size and int(given.max()) > np.iinfo(np.int64).max:
            raise TraceError(f"{where}: token {given.max()} is too large, need numbers of 63 bits")
        array = own(given, np.int64)
    elif given.ndim == 2 and given.dtype.kind in "fiu":
        with np.errstate(over="ignore"):
            array = own(given, np.float32)
        if given.dtype.kind in "iu" and (array != given).any():
            raise TraceError(f"{where} holds whole numbers beyond 2^24 that float32 cannot hold, need smaller ones")
    else:
        raise TraceError(f"{where} has shape {given.shape} of {given.dtype}, need (T, I) numbers or (T,) integers")
    if array.size == 0:
        raise TraceError(f"{where} is empty (shape {array.shape}), need at least one step")
    if array.ndim == 2 and not np.isfinite(array).all():
        step, feature = np.argwhere(~np.isfinite(array))[0]
        number = given[step, feature]
        raise TraceError(
            f"{where}: step {step}, input {feature} is {number}, need finite numbers that float32 can hold"
        )
    return array


def _as_array(where: str, values: Any) -> np.ndarray[Any, Any]:
    """Return an array, torch tensor or data frame as a numpy array; TraceError if that would lose data."""
    if np.ma.is_masked(values):
        raise TraceError(f"{where} has masked entries, need numbers in all of them")
    try:
        if hasattr(values, "detach"):
            # A torch tensor. numpy has no bfloat16, which float32 holds exactly.
            values = values.detach().cpu()
            if str(values.dtype) == "torch.bfloat16":
                values = values.float()
        array = np.asarray(values)
    except ValueError:
        raise TraceError(f"{where} is ragged, need (T, I) numbers or (T,) integers") from None
    except (TypeError, RuntimeError) as error:
        raise TraceError(f"{where} is no dense array: {error}") from None
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _encodable(where: str, text: str) -> str:
    """Return a text without its byte order mark, which is no part of the first word."""
    text = text.removeprefix(BYTE_ORDER_MARK)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TraceError(f"{where} holds a character that is no Unicode text: {error}") from None
    return text


def _checked_targets(name: str, targets: Targets | None) -> tuple[int, ...] | tuple[str, ...] | None:
    if targets is None:
        return None
    if isinstance(targets, str):
        raise TraceError(f"trace {name}: targets are one text, need a list, one per sequence")
    if all(isinstance(target, str) for target in targets):
        # White space is normalised, line breaks included, because files hold one line per text.
        return tuple(" ".join(_encodable(f"trace {name}: a target", str(target)).split()) for target in targets)
    array = np.asarray(targets)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TraceError(
            f"trace {name}: targets have shape {array.shape} of {array.dtype}, need one integer or text per sequence"
        )
    return tuple(int(t) for t in array)
