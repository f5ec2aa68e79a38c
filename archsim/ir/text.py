"""Encoders of text to token ids, by a vocabulary of words or by subword pieces."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from archsim.errors import NetworkError
from archsim.kernels.arrays import I64

UNKNOWN = "<unk>"
_MARKUP = re.compile(r"<[^>]+>")
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")


class TextEncoder(Protocol):
    """Interface of encoders, which convert a text to the tokens of a network."""

    def __len__(self) -> int:
        """Return the number of different tokens."""

    def encode(self, text: str) -> I64:
        """Return the token ids of a text, (T,) int64."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything that affects the tokens."""


def tokenize(text: str) -> list[str]:
    """Split a text into lower-case words (apostrophes inside kept) and punctuation marks; drop markup."""
    return _TOKEN.findall(_MARKUP.sub(" ", text.lower()))


class Vocabulary:
    """Vocabulary of known tokens, numbered by position. Entry 0 stands for every unknown token."""

    def __init__(self, tokens: Sequence[str], where: str = "vocabulary: ") -> None:
        if not tokens or tokens[0] != UNKNOWN:
            raise NetworkError(f"{where}first entry is {tokens[0] if tokens else 'missing'!r}, need {UNKNOWN!r}")
        self.tokens = tuple(tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            twice = next(token for i, token in enumerate(self.tokens) if self._ids[token] != i)
            raise NetworkError(f"{where}entry {twice!r} occurs twice, need each token once")

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> I64:
        """Return the token ids of a text, (T,) int64."""
        return np.array([self._ids.get(token, 0) for token in tokenize(text)], np.int64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the tokens."""
        return hashlib.sha256("\n".join(self.tokens).encode()).hexdigest()


class Subwords:
    """Subword encoder of a sentencepiece model. Every encoded text ends with the end token."""

    def __init__(self, model: bytes, where: str = "") -> None:
        # Imported here, because the import takes as long as that of the rest of the package.
        from sentencepiece import SentencePieceProcessor

        try:
            self._processor: Any = SentencePieceProcessor(model_proto=model or b"empty")
        except RuntimeError as error:
            raise NetworkError(f"{where}not a sentencepiece model: {error}") from None
        self.start = self._processor.bos_id()
        self.end = self._processor.eos_id()
        if min(self.start, self.end) < 0:
            raise NetworkError(f"{where}no <s> or no </s> in the model: both are needed to start and end a text")
        self.digest = hashlib.sha256(model).hexdigest()

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> I64:
        """Return the piece ids of a lower-cased text and the end token, (T,) int64; (0,) for a blank text."""
        pieces = self._processor.encode(text.lower())
        return np.array([*pieces, self.end] if pieces else [], np.int64)

    def decode(self, tokens: I64) -> str:
        """Return the text of piece ids."""
        return str(self._processor.decode([int(token) for token in tokens]))
