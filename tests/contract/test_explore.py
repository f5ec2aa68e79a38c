"""`archsim explore` as a user runs it: output, files, exit codes, and equal bytes for any number of processes."""

import json

import pytest
from harness import write_classifier, write_lstm_files
from harness_processes import archsim

OPTIONS = (
    "--max-loss",
    22,
    "--policies",
    "bnn bnn:throttle=off",
    "--policy",
    "oracle",
    "--widths",
    "16,64",
    "--refine",
    1,
)


def explore(*arguments, cwd=None):
    """Run `archsim explore` on a narrow terminal."""
    return archsim("explore", *arguments, cwd=cwd, columns=80)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Return the options that name a tiny classifier and its trace."""
    paths = write_classifier(tmp_path_factory.mktemp("own") / "net", [12] * 40, seed=1)
    return ("--network", paths["network"], "--trace", paths["trace"])


@pytest.fixture(scope="module")
def explored(classifier, tmp_path_factory):
    """Return the process of a finished exploration by two workers, and its folder."""
    folder = tmp_path_factory.mktemp("explored")
    done = explore(*classifier, *OPTIONS, "--jobs", 2, "--json", "two.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done, folder


def test_explore_prints_front_recommendation_and_trace(explored):
    done, folder = explored
    assert max(map(len, done.stdout.splitlines())) <= 80
    words = " ".join(done.stdout.split())
    assert "net on trace.npz: the front within 22 points of loss" in words and "none" in words
    assert "energy × time × area is" in words or "more area" in words
    assert "θ was chosen on trace trace.npz, 40 sequences: choose it on validation data (--split valid" in words
    assert "search of θ: 0 of at most 28 passes" in done.stderr
    assert (folder / "explore-net" / "explore.html").is_file()
    assert (folder / "explore-net" / "figures" / "front.svg").is_file()


def test_explored_points_are_in_the_json_and_the_sweep(explored):
    _, folder = explored
    points = json.loads((folder / "two.json").read_text())
    assert {point["policy"] for point in points} == {"none", "bnn", "bnn:throttle=off", "oracle"}
    assert sum(point["recommended"] for point in points) <= 1 and any(point["front"] for point in points)
    rows = (folder / "explore-net" / "sweep" / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + len(points)


def test_repeated_or_single_process_exploration_gives_the_same_bytes(classifier, explored, tmp_path):
    done, folder = explored
    tables = {path.name: path.read_bytes() for path in (folder / "explore-net" / "sweep").glob("*.csv")}
    again = explore(*classifier, *OPTIONS, "--jobs", 2, "--json", "again.json", cwd=folder)
    assert again.stdout == done.stdout
    assert (folder / "again.json").read_bytes() == (folder / "two.json").read_bytes()
    alone = explore(*classifier, *OPTIONS, "--jobs", 1, "--json", "one.json", cwd=tmp_path)
    assert alone.returncode == 0 and alone.stdout == done.stdout
    assert (tmp_path / "one.json").read_bytes() == (folder / "two.json").read_bytes()
    assert {path.name: path.read_bytes() for path in (tmp_path / "explore-net" / "sweep").glob("*.csv")} == tables


@pytest.mark.parametrize("arguments, message", [
    (["--policies", "bn"], "archsim: unknown policy 'bn', did you mean 'bnn'"),
    (["--max-loss", "-1"], "archsim: max_loss = -1.0: need a finite number >= 0"),
    (["--widths", "wide"], "archsim: --widths 'wide': need whole numbers with commas between"),
    (["--json", "no/where.json"], "archsim: cannot write no/where.json"),
    (["--refine", "many"], "Invalid value for '--refine'"),
])  # fmt: skip
def test_invalid_input_exits_with_2_and_one_message(arguments, message, classifier, tmp_path):
    done = explore(*classifier, "-p", "bnn", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_network_without_metric_is_refused(tmp_path):
    folder = write_lstm_files(tmp_path, (5, 3))
    done = explore("-n", folder / "net", "-t", folder / "trace.npz", "-o", folder / "out", cwd=tmp_path)
    assert done.returncode == 2 and not (folder / "out").exists()
    assert done.stderr == "archsim: network mine names no metric: there is no loss to hold to a bound\n"
