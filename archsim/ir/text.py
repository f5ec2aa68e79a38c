"""Text to token ids: lower-cased words and single punctuation marks, looked up in a vocabulary."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from archsim.errors import NetworkError
from archsim.kernels.arrays import I64

UNKNOWN = "<unk>"
_MARKUP = re.compile(r"<[^>]+>")
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")


def tokenize(text: str) -> list[str]:
    """Split a text into lower-case words (apostrophes inside kept) and punctuation marks; drop markup."""
    return _TOKEN.findall(_MARKUP.sub(" ", text.lower()))


class Vocabulary:
    """Known tokens, numbered by position; entry 0 stands for every unknown one."""

    def __init__(self, tokens: Sequence[str]) -> None:
        if not tokens or tokens[0] != UNKNOWN:
            raise NetworkError(f"vocabulary: first entry is {tokens[0] if tokens else 'missing'!r}, need {UNKNOWN!r}")
        self.tokens = tuple(tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            raise NetworkError("vocabulary: an entry stands twice, need each token once")

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> I64:
        """Return the token ids of a text, (T,) int64."""
        return np.array([self._ids.get(token, 0) for token in tokenize(text)], np.int64)
