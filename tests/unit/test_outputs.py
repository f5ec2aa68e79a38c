"""Outputs that are one file, or that are an input, are refused before any work."""

import pytest
from harness import write_lstm_files

from archsim.cli.exit import exit_code
from archsim.cli.main import archsim as command
from archsim.experiment import stages


@pytest.fixture(scope="module")
def user_files(tmp_path_factory):
    """Return a folder with a network and its trace."""
    return write_lstm_files(tmp_path_factory.mktemp("own"), (7, 4, 9))


def exit_code_and_stderr(work, capsys):
    """Exit code of some work, and what it printed on standard error."""
    code = exit_code(work)
    return code, capsys.readouterr().err


@pytest.fixture
def nothing_runs(monkeypatch):
    """Fail if an inference run begins."""

    def fail(*arguments, **options):
        raise AssertionError("works already")

    monkeypatch.setattr(stages, "run_compared", fail)


def link(path, to):
    path.symlink_to(to)
    return path


@pytest.mark.parametrize("other", [
    lambda folder: folder / "x.json", lambda folder: folder / "." / "y" / ".." / "x.json",
    lambda folder: link(folder / "link.json", folder / "x.json"), lambda folder: link(folder / "l", folder) / "x.json",
])  # fmt: skip
@pytest.mark.parametrize("there", [True, False])
def test_two_outputs_in_one_file_are_refused(there, other, tmp_path, capsys, nothing_runs):
    (tmp_path / "y").mkdir()
    if there:
        (tmp_path / "x.json").write_text("before")
    options = ["--json", str(tmp_path / "x.json"), "--timeline", str(other(tmp_path))]
    code, message = exit_code_and_stderr(
        lambda: command.main(["run", "-n", "imdb-lstm", *options], standalone_mode=False), capsys
    )
    assert code == 2 and "--json and --timeline are one file" in message and "need two files" in message
    assert (tmp_path / "x.json").exists() == there


@pytest.mark.parametrize("output", ["--json", "--timeline"])
@pytest.mark.parametrize("read, name", [
    ("--trace", "trace.npz"), ("--network", "net/network.toml"), ("--network", "net/weights.safetensors"),
    ("--arch", "arch.toml"),
])  # fmt: skip
def test_output_that_is_an_input_is_refused(read, name, output, user_files, capsys, nothing_runs):
    (user_files / "arch.toml").write_text("")
    inputs = ["-n", str(user_files / "net"), "-t", str(user_files / "trace.npz"), "-a", str(user_files / "arch.toml")]
    before = (user_files / name).read_bytes()
    work = ["run", *inputs, "--threshold", "1", output, str(user_files / name)]
    code, message = exit_code_and_stderr(lambda: command.main(work, standalone_mode=False), capsys)
    assert code == 2 and f"{read} and {output} are one file" in message and (user_files / name).read_bytes() == before


@pytest.mark.parametrize("name", ["", "explore.html", "sweep/sweep.sqlite", "sweep/results.csv"])
def test_exploration_json_over_its_own_output_is_refused(name, tmp_path, capsys, nothing_runs):
    options = ["-o", str(tmp_path / "out"), "--json", str(tmp_path / "out" / name)]
    code, message = exit_code_and_stderr(
        lambda: command.main(["explore", "-n", "imdb-lstm", *options], standalone_mode=False), capsys
    )
    assert code == 2 and "--output and --json are one file" in message and list(tmp_path.iterdir()) == []


def test_output_through_circular_links_is_refused(tmp_path, capsys, nothing_runs):
    link(tmp_path / "a", tmp_path / "b")
    options = ["--json", str(link(tmp_path / "b", tmp_path / "a"))]
    code, message = exit_code_and_stderr(
        lambda: command.main(["run", "-n", "imdb-lstm", *options], standalone_mode=False), capsys
    )
    assert code == 2 and "its links lead in a circle" in message
