"""Files that are written whole: their modes, links, and paths that cannot be written."""

import os
import stat
import warnings
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim import kernel_cache
from archsim.errors import ArchsimWarning, UsageError
from archsim.escaping import one_line, plain_lines
from archsim.files import check_writable, write_whole
from archsim.report.figures import tradeoff
from archsim.report.study import study_of
from archsim.report.style import legend_below, panels, save_as, series_label, styled
from archsim.sweeps.frames import SweepResults


def written(path, text="new"):
    """Write a file whole; return its mode."""
    with write_whole(path) as temporary:
        temporary.write_text(text)
    assert path.read_text() == text
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o755, 0o400])
def test_replaced_file_keeps_its_mode(mode, tmp_path):
    path = tmp_path / "f.json"
    path.write_text("old")
    path.chmod(mode)
    assert written(path) == mode and list(tmp_path.iterdir()) == [path]


def test_temporary_copy_of_a_private_file_is_private(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    path.chmod(0o600)
    with write_whole(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_file_has_the_mode_of_the_umask(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        assert written(tmp_path / "f") == mode
    finally:
        os.umask(before)


def test_umask_is_never_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("changes the umask for all threads"))
    written(tmp_path / "f")


def test_write_through_a_link_replaces_its_target(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert written(link) == 0o640 and link.is_symlink() and target.read_text() == "new"


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), write_whole(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name, message", [
    ("", "cannot write '': need the name"),
    ("no/where", "folder .*no does not exist"),
    ("loop", "cannot write .*loop: "),
    ("dangling", "cannot write .*dangling: folder .*gone does not exist"),
    ("x" * 256, "longer than 255 bytes"),
    ("é" * 128, "longer than 255 bytes"),
    ("a\0b", "cannot write .*null"),
])  # fmt: skip
def test_path_that_cannot_be_written_is_refused(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("gone/file")
    with pytest.raises(UsageError, match=message):
        check_writable(name)


def test_file_name_that_is_no_utf8_is_written(tmp_path):
    written(tmp_path / os.fsdecode(b"\xff.json"))


# Names on a terminal


@given(st.text(st.characters()))
def test_one_line_text_has_no_control_characters(text):
    shown = one_line(text)
    shown.encode("utf-8")
    assert not set(shown) & {*map(chr, [*range(32), *range(127, 160)]), "\u202e", "\u2028", "\ufffe"}
    assert one_line(shown) == shown == plain_lines(shown)


def test_one_line_text_keeps_scripts_and_accents():
    assert one_line("θ é 日本語 עברית 👩‍👩 10 %") == "θ é 日本語 עברית 👩‍👩 10 %"


def test_plain_lines_keeps_line_ends_and_tabs():
    assert plain_lines("a\r\nb\n\tc\r") == "a\nb\n\tc\\r"


def sweep_with_hostile_names():
    """Return the results of a sweep whose names hold characters that XML forbids."""
    row = {"network": "n\x1b\n$x$", "trace": "t", "arch": "a\x00", "policy": "_p\ufffe", "threshold": 0.5}
    row["precision"] = "fp16"
    figures = dict.fromkeys(("reuse_fraction", "macs_avoided_fraction", "metric_loss", "speedup", "energy_saving"), 0.5)
    rows = [{"point": i, "error": None, **row, **figures, "threshold": i} for i in range(2)]
    frame = pd.DataFrame(rows).astype(dict.fromkeys(("network", "trace", "arch", "policy"), "string"))
    return SweepResults(frame, pd.DataFrame(), pd.DataFrame(), ["threshold"], {"grid": ""}, 2)


def test_figure_with_control_characters_in_names_is_valid_xml(tmp_path):
    study = study_of(sweep_with_hostile_names())
    with warnings.catch_warnings(action="error"):
        save_as(tradeoff.draw(study), tmp_path / "f.svg")
    ElementTree.parse(tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text("utf-8")
    assert "n\\x1b\\n$x$" in text and "_p\\ufffe" in text  # the latter in the legend


def test_characters_missing_from_the_font_give_no_warning(tmp_path):
    with styled():
        figure, (axes,) = panels(1)
        axes.set(title="日本語")
    with warnings.catch_warnings(action="error"):
        save_as(figure, tmp_path / "f.svg")


def test_name_with_underscore_is_in_the_legend():
    with styled():
        figure, (axes,) = panels(1)
        axes.plot([1], label=series_label("_hidden"))
        legend_below(figure, [axes])
    assert [text.get_text().strip() for text in figure.legends[0].get_texts()] == ["_hidden"]


# Settings of the user


def drawn(path):
    """Draw a figure into a file; return its bytes."""
    with styled():
        figure, (axes,) = panels(1)
        axes.plot([1, 2], label="a_b $x$")
        axes.set(title="50 % $x_1$", xlabel="θ")
        legend_below(figure, [axes])
    save_as(figure, path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_figure_does_not_depend_on_rc_settings(suffix, tmp_path):
    plain = drawn(tmp_path / f"a{suffix}")
    settings = {
        "text.usetex": True, "lines.linewidth": 9, "axes.facecolor": "black", "font.family": "serif", "savefig.bbox": "tight",
        "savefig.facecolor": "red", "figure.dpi": 33, "axes.prop_cycle": mpl.cycler(color="k"), "svg.hashsalt": "x",
        "axes.formatter.use_locale": True, "figure.autolayout": True, "legend.loc": "center", "path.sketch": (1, 100, 2),
    }  # fmt: skip
    with mpl.rc_context(settings):
        before = {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}
        assert drawn(tmp_path / f"b{suffix}") == plain
        assert {key: mpl.rcParams[key] for key in before} == before


# Cache of kernels


def test_missing_kernel_cache_is_replaced_by_a_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache.tempfile, "tempdir", None)
    monkeypatch.setenv(kernel_cache.CACHE_VARIABLE, os.environ.get(kernel_cache.CACHE_VARIABLE, ""))
    monkeypatch.setattr(kernel_cache.config, "reload_config", lambda: None)
    monkeypatch.setattr(kernel_cache.atexit, "register", lambda *arguments, **options: None)

    def refuses(function):
        raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")

    with pytest.warns(ArchsimWarning, match="set NUMBA_CACHE_DIR to a folder that keeps them") as said:
        kernel_cache.provide_cache(refuses, lambda: None)
    (folder,) = tmp_path.iterdir()
    assert os.environ[kernel_cache.CACHE_VARIABLE] == str(folder) and len(said) == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_kernel_cache_found_by_numba_is_kept(monkeypatch):
    monkeypatch.setattr(kernel_cache.tempfile, "mkdtemp", lambda **options: pytest.fail("needs no other"))
    kernel_cache.provide_cache(lambda function: function, lambda: None)
