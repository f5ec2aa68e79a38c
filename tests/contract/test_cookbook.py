"""The files of docs/cookbook.md: each policy passes its checks, and runs as a plug-in."""

import json
import re
import shutil
from pathlib import Path

import pytest
from harness_processes import archsim

PAGE = (Path(__file__).parents[2] / "docs" / "cookbook.md").read_text("utf-8")
FILES = dict(re.findall(r"`(\w+\.py)`(?:(?!```).)*?```python\n(.*?)```", PAGE, re.DOTALL))
POLICIES = {"refresh.py": "refresh", "relative.py": "relative-delta", "resting.py": "while-inputs-rest"}


@pytest.fixture
def cookbook(tmp_path):
    """Return a folder with the files of the page."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code, "utf-8")
    return tmp_path


def test_page_has_three_policies_and_a_metric():
    assert set(FILES) == {*POLICIES, "exact.py"}


@pytest.mark.parametrize("file", POLICIES)
def test_policy_of_the_cookbook_passes_its_checks(file, cookbook):
    (policy,) = re.findall(r"@archsim\.register_policy\nclass (\w+)", FILES[file])
    done = archsim("check-policy", f"{file}:{policy}", cwd=cookbook)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 of 14 passed, 0 failed, 0 not checked" in done.stdout and "FAILED" not in done.stdout


@pytest.mark.parametrize("file, policy", POLICIES.items())
def test_policy_of_the_cookbook_runs_as_a_plugin(file, policy, cookbook, user_files):
    options = ("-n", user_files / "net", "-t", user_files / "trace.npz", "--threshold", 0.5)
    done = archsim("run", *options, "--plugin", file, "-p", policy, "--json", "r.json", cwd=cookbook)
    assert done.returncode == 0, done.stderr
    (record,) = json.loads((cookbook / "r.json").read_text())
    avoided = record["macs_avoided_fraction"]
    assert record["policy"] == policy and 0 < avoided < 1


def test_hardware_of_the_cookbook_is_charged_in_place_of_bnn(cookbook, user_files):
    options = ("-n", user_files / "net", "-t", user_files / "trace.npz", "--threshold", 0.5, "-v")
    done = archsim("run", *options, "--plugin", "resting.py", "-p", "while-inputs-rest", cwd=cookbook)
    assert "movement" in done.stdout and "last_inputs" in done.stdout and "sign_bank" not in done.stdout


def test_first_commands_of_the_cookbook_run(cookbook):
    commands = re.search(r"```bash\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
    said = [archsim(*line.split()[1:], cwd=cookbook) for line in commands]
    assert [done.returncode for done in said] == [0, 0], [done.stderr for done in said]
    assert "refresh:period=8" in "".join(said[1].stdout.split())


def test_metric_of_the_cookbook_scores_a_network_that_names_it(cookbook):
    bundled = Path(__file__).parents[2] / "models" / "eesen-bilstm"
    manifest = shutil.copytree(bundled, cookbook / "net") / "network.toml"
    manifest.write_text(manifest.read_text("utf-8").replace('metric = "wer"', 'metric = "exact"'), "utf-8")
    options = ("-n", "net", "-p", "none", "--limit", 4, "--json", "r.json")
    refused = archsim("run", *options, cwd=cookbook)
    assert refused.returncode == 2 and "metric = 'exact': not known" in refused.stderr
    done = archsim("run", *options, "--plugin", "exact.py", cwd=cookbook)
    assert done.returncode == 0, done.stderr
    (record,) = json.loads((cookbook / "r.json").read_text())
    assert record["metric"] == "exact" and record["metric_value"] in (0, 25, 50, 75, 100)


def test_checks_of_the_page_are_those_of_the_suite():
    from archsim.contract.suite import CHECKS, PARTS

    rows = re.findall(r"^\| ([\w ]+) \| ", PAGE.partition("## Check it")[2], re.MULTILINE)
    assert rows[1:] == [PARTS, *(check.name for check in CHECKS)]
