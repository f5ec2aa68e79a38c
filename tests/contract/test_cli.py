"""The command line as a user runs it: output, files, exit codes."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
from functools import partial

import numpy as np
import pytest
from harness_processes import COMMAND, archsim

from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace


def test_command_without_arguments_prints_help():
    done = archsim()
    assert done.returncode == 0 and "Usage:" in done.stdout and "calibrate" in done.stdout


def test_run_of_user_files_writes_json_and_timeline(user_files, tmp_path):
    done = archsim("run", "--network", user_files / "net", "--trace", user_files / "trace.npz", "--threshold", 0.5, "--limit", 1,
                   "--json", tmp_path / "r.json", "--timeline", tmp_path / "t.json", "-v")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout and "paper" not in done.stdout and "energy in µJ" in done.stdout
    assert "no metric: network mine names no metric" in done.stdout
    (record,) = json.loads((tmp_path / "r.json").read_text())
    assert record["sequences"] == 1 and record["steps"] == 5 and record["threshold"] == 0.5
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]


def test_verbose_sensitivity_run_prints_utilisation_and_saving_range(user_files, tmp_path):
    done = archsim("run", "-n", user_files / "net", "-t", user_files / "trace.npz", "--threshold", 0.5, "--verbose", "--sensitivity",
                   "--json", tmp_path / "r.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for words in ("use of each unit", "CU3.FMU", "refresh", "if the constants were others", "28nm-hp", "lowest of all"):
        assert words in done.stdout
    (record,) = json.loads((tmp_path / "r.json").read_text())
    assert record["energy_saving_least"] <= record["energy_saving"] <= record["energy_saving_most"]


def test_show_prints_sources_of_a_machine_and_list_its_presets():
    done = archsim("show", "epur")
    for words in (
        "dram.trcd_cycles",
        "lpddr4_params.json",
        "weight_buffer.banks",
        "dataflow",
        "added by it",
        "activate",
    ):
        assert words in done.stdout
    assert {"epur", "epur-no-memo", "epur-4mib", "epur-4mib-no-memo", "epur-mwl", "epur-shared"} <= set(
        archsim("list", "archs").stdout.split()
    )


def test_block_and_neuron_detail_print_equal_cycles(user_files, tmp_path):
    cycles = []
    for detail in ("block", "neuron"):
        done = archsim("run", "-n", user_files / "net", "-t", user_files / "trace.npz", "--threshold", 0.5, "--detail", detail,
                       "--json", tmp_path / "r.json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        cycles.append(json.loads((tmp_path / "r.json").read_text())[0]["cycles"])
    assert cycles[0] == cycles[1]


@pytest.mark.parametrize("arguments, message", [
    (["run", "--network", "imdb-lst"], "unknown network 'imdb-lst', did you mean 'imdb-lstm'"),
    (["run", "--netwrk", "x"], "No such option"),
    (["runn"], "No such command"),
    (["run", "-n", "NET", "-t", "nowhere.npz"], "nowhere.npz: no such file"),
    (["run", "-n", "NET", "-t", "TRACE"], "has no calibrated threshold for policy 'bnn'"),
    (["run", "-n", "NET", "-t", "TRACE", "--threshold", "-1"], "threshold = -1.0: need a number >= 0"),
    (["run", "-n", "NET", "-t", "TRACE", "--threshold", "nan"], "need a number >= 0"),
    (["run", "-n", "NET", "-t", "TRACE", "--threshold", "inf", "--json", "r.json"], "need a number >= 0"),
    (["run", "-n", "NET", "-t", "."], "a folder, need a trace file"),
    (["run", "-n", "TRACE"], "is a file: a network is a folder"),
    (["run", "-n", ""], "network.toml does not exist"),
    (["run", "-n", "NET", "-t", "TRACE", "--arch", "NET"], "is a folder, need a TOML file"),
    (["run", "-n", "NET", "-t", "TRACE", "--threshold", "1", "--json", "/dev/stdout"], "not a regular file"),
    (["run", "-n", "NET", "-t", "TRACE", "--json", "x.json", "--timeline", "x.json"], "need two files"),
    (["run", "-n", "NET", "-t", "TRACE", "--threshold", "x"], "not a valid float"),
    (["run", "-n", "NET", "-t", "TRACE", "--policy", "orakle"], "did you mean 'oracle'"),
    (["run", "-n", "NET", "-t", "TRACE", "--arch", "epur-no-memo", "--threshold", "1"], "has no fmu, which policy 'bnn'"),
    (["run", "-n", "NET", "-t", "TRACE", "--arch", "epr"], "unknown architecture 'epr', did you mean 'epur'"),
    (["run", "-n", "NET", "-t", "TRACE", "--limit", "0"], "limit = 0: need a whole number, at least 1 sequence"),
    (["run", "-n", "NET", "-t", "TRACE", "--threshold", "1", "--detail", "fine"], "accepted: block, neuron"),
    (["run", "-n", "NET", "--threshold", "1"], "mine has no trace of its own"),
    (["run", "--trace", "TRACE"], "name the --network that takes it"),
    (["run", "--split", "tset"], "split 'tset': accepted: train, valid, test, all"),
    (["run", "-n", "NET", "-t", "TRACE", "--threshold", "1", "--json", "no/where.json"], "folder no does not exist"),
    (["calibrate", "-n", "NET", "-t", "TRACE"], "network mine names no metric"),
    (["calibrate", "-n", "NET", "-t", "TRACE", "--per", "gate", "--passes", "0"], "passes = 0: need a whole number >= 1"),
    (["calibrate", "-n", "NET", "-t", "TRACE", "-p", "lowbit", "--per", "layer", "--passes", "0"], "passes = 0: need"),
    (["calibrate", "-n", "NET", "-t", "TRACE", "--per", "neuron"], "is not one of 'network', 'layer', 'gate'"),
    (["show", "epurrr"], "did you mean 'epur'"),
    (["list", "things"], "is not one of"),
])  # fmt: skip
def test_invalid_input_exits_with_2_and_one_message(arguments, message, user_files, tmp_path):
    names = {"NET": user_files / "net", "TRACE": user_files / "trace.npz"}
    done = archsim(*[names.get(a, a) for a in arguments], cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and list(tmp_path.iterdir()) == []


def test_ctrl_c_during_a_run_exits_with_130_and_leaves_no_file(user_files, tmp_path):
    """Ctrl-C comes when the progress bar shows that the long part has begun; no traceback is printed."""
    long_trace = user_files / "long.npz"
    write_trace(Trace.from_arrays([np.zeros((20000, 6), np.float32)], name="long"), long_trace)
    options = [
        "run",
        "-n",
        user_files / "net",
        "-t",
        long_trace,
        "--threshold",
        "1",
        "--detail",
        "neuron",
        "--json",
        "x.json",
    ]
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    command = [*COMMAND, *map(str, options)]
    # A shell starts what runs in its background deaf to Ctrl-C, and all that this starts in turn.
    hearing = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=theirs, cwd=tmp_path, env=environment, preexec_fn=hearing) as process:
        os.close(theirs)
        shown = b""
        while b"policy bnn" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the terminal closes with the process
            while True:
                shown += os.read(ours, 4096)
    assert process.returncode == 130 and b"Traceback" not in shown and b"interrupted" in shown
    assert list(tmp_path.iterdir()) == []


def test_names_with_brackets_are_not_markup(user_files, tmp_path):
    """A name is text, never markup of the terminal library."""
    net = tmp_path / "net"
    shutil.copytree(user_files / "net", net)
    manifest = (net / "network.toml").read_text().replace("mine", "a[/b] [red]x")
    (net / "network.toml").write_text(manifest)
    done = archsim("run", "-n", net, "-t", user_files / "trace.npz", "--threshold", 0.5)
    assert done.returncode == 0 and "a[/b] [red]x" in done.stdout, done.stderr


def test_bundled_name_wins_over_a_folder_of_the_same_name(tmp_path):
    (tmp_path / "imdb-lstm").mkdir()
    assert archsim("run", "--limit", 1, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("kind", ["networks", "traces", "archs", "policies"])
def test_every_listed_name_can_be_shown(kind):
    names = archsim("list", kind).stdout.split()
    assert names
    for name in names:
        done = archsim("show", name)
        assert done.returncode == 0 and name in done.stdout, done.stderr


def test_user_files_can_be_shown(user_files, tmp_path):
    (tmp_path / "wide.toml").write_text("[dpu]\nlanes = 32\n")
    for path, expected in (
        (tmp_path / "wide.toml", "32"),
        (user_files / "net", "lstm"),
        (user_files / "trace.npz", "frames"),
    ):
        done = archsim("show", path)
        assert done.returncode == 0 and expected in done.stdout, done.stderr


def test_summary_fits_80_columns(user_files):
    done = archsim("run", "--limit", 2, columns=80)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in done.stdout and "paper" in done.stdout


def test_ascii_terminal_is_no_error():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*COMMAND, "run", "--limit", "1"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0 and "imdb-lstm" in done.stdout


def test_reader_that_closes_the_pipe_is_no_error():
    done = subprocess.run(
        f"{shlex.join(COMMAND)} show epur | head -1; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""


def test_show_prints_value_unit_and_source_of_a_field():
    text = archsim("show", "epur").stdout
    line = next(line for line in text.splitlines() if "fmu.width_bits" in line)
    assert "2048" in line and "bit/cycle" in line and "MICRO 2019" in line
