"""The scripts that show the Python face at work."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(name, *arguments, cwd):
    command = [sys.executable, SCRIPTS / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_sweep_and_plot_scripts_write_their_files(tmp_path):
    swept = run(
        "sweep.py", "--thresholds", 0.2, 0.4, "--policies", "bnn", "--limit", 1, "--jobs", 1, "-o", "out", cwd=tmp_path
    )
    assert swept.returncode == 0 and len(swept.stdout.splitlines()) == 3, swept.stderr
    plotted = run("plot.py", "out", "--y", "speedup", "-o", "speedup.svg", cwd=tmp_path)
    assert plotted.returncode == 0 and (tmp_path / "speedup.svg").stat().st_size > 1000, plotted.stderr


def test_plot_of_an_unknown_column_exits_with_2(tmp_path):
    swept = run(
        "sweep.py", "--thresholds", 0.2, "--policies", "bnn", "--limit", 1, "--jobs", 1, "-o", "out", cwd=tmp_path
    )
    assert swept.returncode == 0, swept.stderr
    plotted = run("plot.py", "out", "--y", "speeedup", "-o", "x.svg", cwd=tmp_path)
    assert plotted.returncode == 2 and "no column 'speeedup' of numbers" in plotted.stderr
    assert "Traceback" not in plotted.stderr and not (tmp_path / "x.svg").exists()


def test_simulate_script_compares_three_policies(tmp_path):
    done = run("simulate.py", "--limit", 1, cwd=tmp_path)
    assert done.returncode == 0 and "oracle" in done.stdout and "energy of bnn by component" in done.stdout, done.stderr
