"""Page of a report, as text and opened in a browser."""

import base64
import json
import re
import shutil
import subprocess

import pytest

from archsim.errors import UsageError
from archsim.report.assemble import write_report
from archsim.sweeps.frames import read_sweep
from archsim.sweeps.run import run_sweep
from archsim.sweeps.store import Store

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = '<script>addEventListener("load", () => { document.title = JSON.stringify([...document.images].map(i => i.naturalWidth)); })</script>'
GRID = {
    "axes": {
        "network": ["imdb-lstm", "mnmt-lstm"],
        "policy": ["none", "bnn", "oracle"],
        "threshold": [0.1, 0.4],
        "arch.fmu.width_bits": [256, 2048],
        "arch.weight_buffer.capacity_bytes": [1, 1 << 20],
    },
    "fixed": {"limit": 2},
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return the folder of a sweep of two networks; half of its machines are too small."""
    folder = tmp_path_factory.mktemp("swept")
    run_sweep(GRID, folder, jobs=2)
    return folder


@pytest.fixture(scope="module")
def page(swept):
    return write_report(swept).read_text("utf-8")


def images(page):
    return re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', page)


def test_page_embeds_all_its_images(page):
    assert not re.search(r'(src|href)="(?!data:|#)', page) and "<script" not in page
    assert len(images(page)) == page.count("<img ") >= 5
    assert all(base64.b64decode(data).startswith(b"<?xml") for data, _ in images(page))


def test_every_figure_is_saved_as_svg_and_png(swept, page):
    names = sorted(path.name for path in (swept / "figures").iterdir())
    assert len(names) == 2 * len(images(page))
    assert {name.rsplit(".", 1)[1] for name in names} == {"svg", "png"}


def test_page_lists_failures_versions_and_digests(page):
    assert "24 of 48 points have run, 24 failed." in page
    assert "weight_buffer.capacity_bytes &gt;= " in page
    for words in (
        "version.numba",
        "digest.network.imdb-lstm",
        "arch.fmu.width_bits",
        "several",
        "lpddr4_params",
    ):
        assert words in page


def test_equal_results_give_equal_page_bytes(swept, page):
    assert write_report(swept).read_text("utf-8") == page


def test_unfinished_sweep_has_a_page(swept, tmp_path):
    shutil.copytree(swept, tmp_path / "half")
    store = Store(tmp_path / "half")
    gone = [digest for digest, error in store.finished().items() if error is None][1:]
    with store.database:
        store.database.executemany("DELETE FROM outcomes WHERE digest = ?", [(digest,) for digest in gone])
    store.close()
    assert len(read_sweep(tmp_path / "half").results) < 48
    assert "points have run" in write_report(tmp_path / "half").read_text("utf-8")


@pytest.mark.parametrize(
    "grid",
    [
        {"axes": {"network": ["imdb-lstm"]}, "fixed": {"limit": 1}},
        {"axes": {"network": ["imdb-lstm"], "policy": ["none"]}, "fixed": {"limit": 1}},
        {"axes": {"arch": ["epur", "epur-4mib"]}, "fixed": {"limit": 1, "network": "imdb-lstm"}},
        {
            "axes": {"threshold": [[0.1], [0.4]], "precision": ["fp16", "fp32"]},
            "fixed": {"limit": 1, "network": "imdb-lstm"},
        },
    ],
    ids=["one point", "no reuse", "machines", "lists"],
)
def test_sweep_of_any_shape_has_a_page(grid, tmp_path):
    run_sweep(grid, tmp_path, jobs=1)
    page = write_report(tmp_path).read_text("utf-8")
    assert images(page)


def test_report_without_finished_points_is_refused(swept, tmp_path):
    shutil.copytree(swept, tmp_path / "none")
    store = Store(tmp_path / "none")
    with store.database:
        store.database.execute("DELETE FROM outcomes")
    store.close()
    with pytest.raises(UsageError, match="no point of 48 has run yet"):
        write_report(tmp_path / "none")
    with pytest.raises(UsageError, match="holds no sweep"):
        write_report(tmp_path)


def opened(path):
    """Return the widths of a page's images in a browser, and the lines of its console."""
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--virtual-time-budget=10000",
        "--dump-dom",
    )
    done = subprocess.run([CHROMIUM, *flags, path.as_uri()], capture_output=True, text=True, check=True)
    title = re.search(r"<title>([^<]*)</title>", done.stdout)[1]
    return json.loads(title), [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_browser_shows_every_figure_without_console_messages(page, tmp_path):
    (tmp_path / "page.html").write_text(page + PROBE, "utf-8")
    widths, said = opened(tmp_path / "page.html")
    assert len(widths) == len(images(page)) and all(width > 0 for width in widths)
    assert said == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_browser_check_detects_a_broken_figure_and_an_error(page, tmp_path):
    broken = page.replace("data:image/svg+xml;base64,", "data:image/svg+xml;base64,AAAA", 1)
    (tmp_path / "page.html").write_text(broken + '<script>console.error("no")</script>' + PROBE, "utf-8")
    widths, said = opened(tmp_path / "page.html")
    assert 0 in widths and len(said) == 1
