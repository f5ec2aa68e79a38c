r"""Escaping of characters that a terminal, an SVG or a page would obey or refuse: they are shown as in `\x1b`.

This is needed because names come from files that somebody else may have written. Records, .csv and .json keep names
unchanged.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters: terminal commands, not allowed in XML
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # writing direction, which can disguise a text as another one
    "\u2028\u2029"  # line and paragraph separators
    "\u200b\u2060\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible
    "\ud800-\udfff\ufffe\uffff"  # undecodable bytes of file names, and non-characters: not allowed in XML
    "]"
)
_LINE_CONTROLS = re.compile(rf"(?![\n\t]){_CONTROLS.pattern}")


def one_line(text: str) -> str:
    r"""Return `text` with every control character escaped, line ends included: `a\x1bb`."""
    return _CONTROLS.sub(_escaped, text)


def plain_lines(text: str) -> str:
    r"""Return `text` with every control character escaped, except line ends and tabs."""
    return _LINE_CONTROLS.sub(_escaped, text.replace("\r\n", "\n"))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
