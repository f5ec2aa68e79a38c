r"""Names as they may be shown: what a terminal, an SVG or a page would obey or refuse is spelled out, as in `\x1b`.

A name comes from a file that somebody else may have written. Records, .csv and .json keep it as it is.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters: commands of a terminal, not allowed in XML
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of writing: they make a text read as another one
    "\u2028\u2029"  # ends of lines and paragraphs
    "\u200b\u2060\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible
    "\ud800-\udfff\ufffe\uffff"  # bytes of a file name that are no UTF-8, and what is no character: not allowed in XML
    "]"
)
_LINE_CONTROLS = re.compile(rf"(?![\n\t]){_CONTROLS.pattern}")


def one_line(text: str) -> str:
    r"""Return `text` with every control character spelled out, line ends too: `a\x1bb`."""
    return _CONTROLS.sub(_spelled, text)


def plain_lines(text: str) -> str:
    r"""Return `text` with every control character but line ends and tabs spelled out."""
    return _LINE_CONTROLS.sub(_spelled, text.replace("\r\n", "\n"))


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
