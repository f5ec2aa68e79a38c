"""The command line among other programs: closed streams, odd names, narrow terminals, read-only folders."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from harness import write_classifier, write_lstm_files

import archsim
from archsim.cli.exit import exit_code
from archsim.cli.main import archsim as group
from archsim.files import bundled_folder
from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace

COMMAND = [sys.executable, "-P", "-m", "archsim"]
HOSTILE_NAME = "a\x1b[31mb\nc\u202ed[bold]:warning:$x$"
ESCAPED_NAME = r"a\x1b[31mb\nc\u202ed[bold]:warning:$x$"


def run_command(*arguments):
    """Run a command in this process; return its exit code."""
    return exit_code(partial(group.main, [*map(str, arguments)], prog_name="archsim", standalone_mode=False))


@pytest.fixture
def classifier(tmp_path):
    """Return the options that name a network that classifies and its labelled trace."""
    names = write_classifier(tmp_path / "cls", (5,) * 12)
    return ["-n", names["network"], "-t", names["trace"]]


# Streams


def run_in_bash(line):
    """Run a line of bash in which `archsim` is this package; return exit code, and all output as one text."""
    text = f'archsim() {{ {shlex.join(COMMAND)} "$@"; }}\n{line}'
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("line, code", [
    ("archsim --help | true; exit ${PIPESTATUS[0]}", 0),
    ("archsim | true; exit ${PIPESTATUS[0]}", 0),
    ("archsim list networks | true; exit ${PIPESTATUS[0]}", 0),
    ("archsim list networks >&-", 0),
    ("archsim list networks >&- 2>&- <&-", 0),
    ("archsim show nothing 2>&-", 2),
    ("archsim runn 2>&1 | true; exit ${PIPESTATUS[0]}", 2),
    ("archsim runn 2>/dev/full", 2),
])  # fmt: skip
def test_closed_stream_keeps_the_exit_code_and_prints_nothing(line, code):
    assert run_in_bash(line) == (code, "")


def test_full_output_device_exits_with_1_and_one_line():
    code, said = run_in_bash("archsim list networks > /dev/full")
    assert code == 1 and said.count("\n") == 1 and "No space left" in said


def test_run_without_stdout_writes_its_file(user_files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    options = [
        "-n",
        user_files / "net",
        "-t",
        user_files / "trace.npz",
        "--threshold",
        1,
        "--json",
        tmp_path / "r.json",
    ]
    assert run_command("run", *options) == 0 and (tmp_path / "r.json").is_file()


def test_files_are_written_after_the_reader_leaves(user_files, tmp_path, monkeypatch):
    class ClosedStream(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", ClosedStream())
    options = ["-n", user_files / "net", "-t", user_files / "trace.npz", "--threshold", 1]
    files = ["--json", tmp_path / "r.json", "--timeline", tmp_path / "t.json"]
    monkeypatch.setattr("rich.console.Console.on_broken_pipe", lambda console: sys.exit(1))
    assert run_command("run", *options, *files) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "t.json"]


def test_module_prints_the_help_of_the_command(capsys):
    done = subprocess.run([*COMMAND, "run", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: archsim run ")


# Names


@pytest.fixture(scope="module")
def hostile_names(tmp_path_factory):
    """Return a folder with a network and a trace whose names hold control characters."""
    folder = write_lstm_files(tmp_path_factory.mktemp("evil"), lengths=(5, 3))
    manifest = folder / "net" / "network.toml"
    spelled = HOSTILE_NAME.replace("\x1b", "\\u001b").replace("\n", "\\n")
    manifest.write_text(
        manifest.read_text("utf-8").replace('"mine"', f'"{spelled}"\ndescription = "{spelled}"'), "utf-8"
    )
    frames = archsim.load_trace(folder / "trace.npz").sequences
    write_trace(Trace.from_arrays(frames, name=HOSTILE_NAME), folder / "trace.npz")
    return folder


def test_control_characters_in_names_are_escaped(hostile_names, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    options = ["-n", hostile_names / "net", "-t", hostile_names / "trace.npz"]
    assert run_command("run", *options, "--threshold", 1, "-v", "--sensitivity") == 0
    assert run_command("show", hostile_names / "net") == run_command("show", hostile_names / "trace.npz") == 0
    assert (
        run_command("run", *options) == 2 and run_command("run", "-n", "no\x1b") == 2 and run_command("no\x1b\x07") == 2
    )
    said = "".join(capsys.readouterr())
    assert ESCAPED_NAME in said and "no\\x1b" in said
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said)


def test_summary_has_names_on_one_line(hostile_names, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run_command("run", "-n", hostile_names / "net", "-t", hostile_names / "trace.npz", "--threshold", 1) == 0
    assert f" {ESCAPED_NAME} " in capsys.readouterr().out


def test_record_keeps_the_name_as_it_is(hostile_names, tmp_path):
    result = archsim.simulate(hostile_names / "net", hostile_names / "trace.npz", threshold=1.0)
    assert result.record["network"] == result.record["trace"] == HOSTILE_NAME


NOT_UTF8 = os.fsdecode(b"\xff.json")


def test_output_that_is_no_utf8_is_written(user_files, tmp_path, capsys):
    options = ["-n", user_files / "net", "-t", user_files / "trace.npz", "--threshold", 1]
    assert run_command("run", *options, "--json", tmp_path / NOT_UTF8) == 0 and (tmp_path / NOT_UTF8).is_file()
    assert run_command("report", tmp_path / NOT_UTF8) == 2 and "\\udcff.json: holds no sweep" in capsys.readouterr().err


def test_sweep_into_a_folder_that_is_no_utf8_works(user_files, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["archsim", NOT_UTF8])
    grid = {
        "fixed": {"network": str(user_files / "net"), "trace": str(user_files / "trace.npz"), "policy": "none"},
        "axes": {"seed": [1]},
    }
    sweep = archsim.run_sweep(grid, tmp_path / NOT_UTF8, jobs=1, command=f"archsim sweep {NOT_UTF8}")
    assert sweep.about["command"] == "archsim sweep \\udcff.json" and len(sweep.ran) == 1


def test_network_that_is_no_utf8_is_refused_in_a_grid(user_files, tmp_path):
    with pytest.raises(archsim.ArchsimError, match=r"\[fixed\] network = '\\udcff.json': need a name in UTF-8"):
        archsim.run_sweep({"fixed": {"network": NOT_UTF8}, "axes": {"seed": [1]}}, tmp_path / "out")


@pytest.mark.parametrize("arguments", [
    ["run", "--json", ""],
    ["run", "--timeline", ""],
    ["sweep", "grid.toml", "-o", ""],
    ["sweep", "", "-o", "out"],
    ["report", ""],
    ["reproduce", "-o", ""],
    ["advise", "-n", "imdb-lstm", "--html", ""],
    ["explore", "-n", "imdb-lstm", "-o", ""],
    ["explore", "-n", "imdb-lstm", "--json", ""],
], ids=" ".join)  # fmt: skip
def test_empty_path_is_refused(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(*arguments) == 2
    assert "'' is empty: need the name of a file or folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# Narrow terminals


def figures(text):
    """Return the numbers in a text."""
    return set(re.findall(r"[±+−-]?\d+\.\d+", text))


@pytest.mark.parametrize("columns", [20, 40, 60])
@pytest.mark.parametrize("arguments", [
    ["run", "-v", "--sensitivity", "--threshold", "0.5"],
    ["calibrate", "--max-loss", "100", "--highest", "0.05"],
    ["calibrate", "--scales-only"],
], ids=lambda arguments: arguments[0] + arguments[1])  # fmt: skip
def test_narrow_terminal_keeps_figures_whole(classifier, arguments, columns, capsys, monkeypatch):
    shown = []
    for width in (200, columns):
        monkeypatch.setenv("COLUMNS", str(width))
        assert run_command(arguments[0], *classifier, *arguments[1:]) == 0
        shown.append(capsys.readouterr().out)
    assert figures(shown[0]) <= figures(shown[1]) and "…" not in shown[1]


@pytest.mark.parametrize("name", ["epur", "ds2-gru", "lowbit"])
def test_show_keeps_figures_whole_at_40_columns(name, capsys, monkeypatch):
    shown = []
    for width in (400, 40):
        monkeypatch.setenv("COLUMNS", str(width))
        assert run_command("show", name) == 0
        shown.append(capsys.readouterr().out)
    assert figures(shown[0]) <= figures(shown[1]) and "…" not in shown[1]


# Saved calibration


def test_calibration_never_overwrites_a_bundled_network(capsys):
    before = (bundled_folder("models") / "imdb-lstm" / "network.toml").read_bytes()
    for network in ("imdb-lstm", bundled_folder("models") / "imdb-lstm"):
        assert run_command("calibrate", "-n", network, "-t", "imdb-lstm", "--save") == 2
        assert "is bundled with archsim" in capsys.readouterr().err
    assert run_command("calibrate", "-n", "imdb-lstm", "-t", "imdb-lstm", "--force") == 2
    assert (bundled_folder("models") / "imdb-lstm" / "network.toml").read_bytes() == before


def test_advice_on_missing_scales_leads_to_a_run(user_files, tmp_path, capsys):
    """The advice is followed on a network without a metric: measure, save, run."""
    net = shutil.copytree(user_files / "net", tmp_path / "net")
    run = ["run", "-n", net, "-t", user_files / "trace.npz", "-p", "lowbit", "--threshold", "0.5"]
    assert run_command(*run) == 2
    advice = re.search(r"archsim (calibrate .*--save)", capsys.readouterr().err)[1]
    words = advice.replace("FOLDER", str(net)).replace("TRACE", str(user_files / "trace.npz"))
    assert run_command(*words.split()) == 0 and f"saved in {net / 'network.toml'}" in capsys.readouterr().out
    assert run_command(*run) == 0
    measured = archsim.measure_scales(
        archsim.load_network(user_files / "net"), archsim.load_trace(user_files / "trace.npz")
    )
    assert archsim.load_network(net).scales == measured
    assert run_command("calibrate", "-n", user_files / "net", "-t", user_files / "trace.npz", "-p", "lowbit") == 2
    assert "--scales-only measures its scales without one" in capsys.readouterr().err


def test_network_without_metric_is_not_sent_to_calibrate(user_files, capsys):
    assert run_command("run", "-n", user_files / "net", "-t", user_files / "trace.npz") == 2
    assert "calibrate one by: give a threshold, a number >= 0" in capsys.readouterr().err


def test_search_that_ends_at_its_highest_threshold_says_so(classifier, capsys):
    assert run_command("calibrate", *classifier, "--max-loss", "100", "--highest", "0.05", "--save") == 0
    said = capsys.readouterr().out
    assert "the search ended at θ = 0.05, a larger θ may fit: go on with --highest" in said and "largest" not in said
    assert run_command("show", classifier[1]) == 0 and "0.05 (search ended)" in capsys.readouterr().out


# Read-only folders


@pytest.mark.slow
def test_read_only_installation_runs_with_a_temporary_cache(user_files, tmp_path):
    """Files stand in place of the cache and home folders, so that even root cannot write there."""
    package = tmp_path / "archsim"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(archsim.__path__[0], package, ignore=ignored)
    (package / "kernels" / "__pycache__").write_text("")
    home = tmp_path / "home"
    home.write_text("")
    options = ["-n", user_files / "net", "-t", user_files / "trace.npz", "--threshold", "1"]
    settings = {"PYTHONPATH": str(tmp_path), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tmp_path)}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA", "XDG"))}
    command = [*COMMAND, "run", *map(str, options)]
    done = subprocess.run(command, env=kept | settings, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(
        "archsim: neither the folder of archsim nor the home"
    )
    assert not list(tmp_path.glob("archsim-kernels-*")) and "bnn" in done.stdout


def test_saved_calibration_keeps_comments_line_ends_and_mode(classifier):
    manifest = Path(classifier[1]) / "network.toml"
    manifest.write_bytes(b"# mine\r\n" + manifest.read_bytes().replace(b"\n", b"\r\n"))
    manifest.chmod(0o600)
    assert run_command("calibrate", *classifier, "--highest", "0.02", "--save") == 0
    assert manifest.read_bytes().startswith(b"# mine\r\nname =") and manifest.stat().st_mode & 0o777 == 0o600
