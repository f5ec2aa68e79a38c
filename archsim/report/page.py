"""Writer of one self-contained HTML page, without other files, scripts or network access."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from archsim._version import __version__
from archsim.escaping import plain_lines
from archsim.files import check_writable, make_folder, write_whole
from archsim.report.style import SUFFIXES, save, svg_bytes

FIGURES, PAGE = "figures", "report.html"


@dataclass(frozen=True)
class Table:
    """Rows of texts under column heads."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    folded: bool = False
    """Whether the table is hidden until the reader opens it."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Figure with title and caption, saved under its name beside the page and embedded in it."""

    name: str
    title: str
    caption: str
    figure: Figure = field(repr=False)


@dataclass(frozen=True)
class Section:
    """Heading with its content, shown in the order of the fields."""

    title: str
    lead: str = ""
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    code: str = ""


def check_page(folder: Path, file: str = PAGE) -> None:
    """Make the folder of a page's figures; raise UsageError if the page or the figures cannot be written."""
    check_writable(folder / file)
    make_folder(folder / FIGURES)


def write_page(folder: Path, title: str, lead: str, sections: list[Section], file: str = PAGE) -> Path:
    """Write a page into `folder`, and each figure as .svg and .png into `folder/figures`; return the page's path."""
    check_page(folder, file)
    images = {p.name: _saved(p, folder / FIGURES) for section in sections for p in section.pictures}
    for stale in (path for path in (folder / FIGURES).iterdir() if path.stem not in images and path.suffix in SUFFIXES):
        stale.unlink()
    path = folder / file
    with write_whole(path) as temporary:
        temporary.write_text(_rendered("page.html.j2", title, lead, sections, images), "utf-8")
    return path


def page_text(title: str, lead: str, sections: list[Section], *, whole: bool = True) -> str:
    """Return a page with its figures inside; without `whole`, the part of it that goes into another page."""
    images = {p.name: _embedded(svg_bytes(p.figure)) for section in sections for p in section.pictures}
    return _rendered("page.html.j2" if whole else "sections.html.j2", title, lead, sections, images)


def _rendered(template: str, title: str, lead: str, sections: list[Section], images: dict[str, str]) -> str:
    environment = Environment(
        loader=PackageLoader("archsim.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(
        title=title, lead=lead, sections=sections, images=images, version=__version__
    )
    return plain_lines(text)


def _saved(picture: Picture, folder: Path) -> str:
    svg, _ = save(picture.figure, folder, picture.name)
    return _embedded(svg.read_bytes())


def _embedded(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
