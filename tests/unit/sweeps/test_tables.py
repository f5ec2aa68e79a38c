"""Tables of a sweep: rows, columns, types and files."""

import pandas as pd
import pytest
from harness import run_sweeps_in_process
from harness_sweeps import HARDWARE, grid

from archsim.experiment import stages
from archsim.sweeps import run as sweeps
from archsim.sweeps.frames import read_sweep
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points
from archsim.sweeps.run import run_sweep
from archsim.sweeps.store import Store


@pytest.fixture(scope="module")
def mixed(unlabelled, tmp_path_factory):
    """Return a sweep of points of which some ran and some were refused, and its folder."""
    folder = tmp_path_factory.mktemp("mixed")
    tables = {
        "axes": {"threshold": [0.5, -1, [0.1, 0.2], 1], HARDWARE: [3, 5], "policy": ["bnn", "none"]},
        "fixed": unlabelled | {"limit": 2, "precision": "fp32"},
    }
    with pytest.MonkeyPatch.context() as patch:
        run_sweeps_in_process(patch)
        return run_sweep(tables, folder), folder


CONTRACT = """network trace arch policy threshold precision detail sequences steps neurons_total neurons_reused
    reuse_fraction macs_total macs_avoided_fraction cycles time_s baseline_cycles speedup energy_j baseline_energy_j
    energy_saving energy_scratchpad_j energy_operations_j energy_dram_j energy_memo_j energy_static_j dram_bytes
    area_mm2 metric metric_baseline metric_value metric_loss events wall_s archsim_version digest""".split()


def test_results_have_the_columns_of_the_contract_and_the_axes(mixed):
    sweep, _ = mixed
    assert set(CONTRACT) | {"point", "error", HARDWARE, "limit"} <= set(sweep.results.columns)
    assert sweep.results.columns.is_unique and list(sweep.results.columns[:2]) == ["point", "error"]


def test_failed_point_has_a_row_with_its_error(mixed):
    results = mixed[0].results
    failed = results[results["error"].notna()]
    assert results["point"].tolist() == list(range(16)) and mixed[0].n_points == 16
    assert failed["threshold"].tolist() == ["-1", "-1"] and set(failed["policy"]) == {"bnn"}
    assert failed["error"].str.contains("need a number >= 0").all() and failed["cycles"].isna().all()
    assert set(mixed[0].energy["point"]) == set(results["point"]) - set(failed["point"])


def test_columns_are_string_int64_or_float64(mixed):
    kinds = mixed[0].results.dtypes.astype(str)
    assert kinds["error"] == kinds["network"] == kinds["metric"] == "string"
    assert kinds["cycles"] == kinds["steps"] == kinds["limit"] == kinds[HARDWARE] == kinds["point"] == "Int64"
    assert kinds["speedup"] == kinds["metric_loss"] == kinds["energy_saving"] == kinds["energy_j"] == "float64"
    assert "object" not in set(kinds)


def test_exported_files_equal_the_frames(mixed):
    sweep, folder = mixed
    for name in ("results", "energy", "utilisation"):
        frame = getattr(sweep, name)
        pd.testing.assert_frame_equal(pd.read_parquet(folder / f"{name}.parquet"), frame)
        written = pd.read_csv(folder / f"{name}.csv")
        assert list(written.columns) == list(frame.columns) and len(written) == len(frame)
    pd.testing.assert_frame_equal(read_sweep(folder).results, sweep.results)


def test_energy_rows_add_up_to_the_record_and_shares_to_one(mixed):
    sweep, _ = mixed
    ran = sweep.results[sweep.results["error"].isna()].set_index("point")
    energy = sweep.energy.groupby(["point", "side"])["joules"].sum().unstack()
    assert energy["policy"].to_numpy() == pytest.approx(ran["energy_j"].to_numpy(), rel=1e-9)
    assert energy["baseline"].to_numpy() == pytest.approx(ran["baseline_energy_j"].to_numpy(), rel=1e-9)
    shares = sweep.utilisation.groupby(["point", "side", "unit"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(1.0, abs=1e-9)


def exported(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".csv", ".parquet")}


def test_exports_are_equal_bytes_in_any_order_of_completion(unlabelled, tmp_path, in_process, monkeypatch):
    tables = grid(unlabelled, threshold=[0.1, -1, 0.5], arch__fmu__latency_cycles=[3, 5])
    run_sweep(tables, tmp_path / "a")
    real = sweeps.plan_tasks
    monkeypatch.setattr(sweeps, "plan_tasks", lambda *arguments: real(*arguments)[::-1])
    run_sweep(tables, tmp_path / "b")
    run_sweep(grid(unlabelled, threshold=[0.5]), tmp_path / "c")
    run_sweep(tables, tmp_path / "c")
    assert exported(tmp_path / "a") == exported(tmp_path / "b") == exported(tmp_path / "c")
    assert len(exported(tmp_path / "a")) == 6


def test_sweep_of_failed_points_only_exports_tables(unlabelled, tmp_path, in_process, monkeypatch):
    def fail(*arguments, **options):
        raise ArithmeticError("too little")

    monkeypatch.setattr(stages, "run_compared", fail)
    sweep = run_sweep(grid(unlabelled, threshold=[0.1, 0.5]), tmp_path)
    assert sweep.results["error"].notna().all() and sweep.energy.empty and len(exported(tmp_path)) == 6
    assert list(sweep.results["threshold"]) == [0.1, 0.5]


def test_sweep_without_finished_points_reads_as_an_empty_table(unlabelled, tmp_path):
    """A sweep interrupted before its first point leaves such a store."""
    store = Store(tmp_path)
    points = plan_points(load_grid(grid(unlabelled, threshold=[0.5]))[0])
    store.begin(points, {})
    store.close()
    sweep = read_sweep(tmp_path)
    assert sweep.n_points == 1 and sweep.results.empty and list(sweep.energy.columns)[:2] == ["point", "side"]
    assert {"point", "error"} <= set(sweep.results.columns)
