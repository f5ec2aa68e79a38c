"""Work that points of a sweep share (input products over θ, decisions over machines), and gain of a second core."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import save_file

import archsim
from archsim.inference.run import run_inference
from archsim.policies import policy_from
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points
from archsim.sweeps.pools import LocalPool, Pool
from archsim.sweeps.run import run_points
from archsim.sweeps.task import Done, Task, work
from benching.figures import REPEATS, Figure, best_s, seconds_of
from benching.target import INPUTS, THETA, UNITS, target

SEQUENCES = 32
THETAS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
MANY_THETAS = [0.02 * n for n in range(1, 49)]
LATENCIES_CYCLES = [1, 2, 3, 4, 5, 6, 7, 8, 9]
MAX_SINGLE_RUNS, MAX_SHARE_OF_A_RUN, MIN_GAIN = 4.0, 0.1, 1.8
MANIFEST = f"""
name = "bilstm"
[[stacks]]
cell = "lstm"
input_size = {INPUTS}
hidden_size = {UNITS}
num_layers = 1
bidirectional = true
prefix = ""
"""


class OneCore:
    """Pool that runs a task at once, in this process, on one thread."""

    slots = 1

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Run the task and return its finished future."""
        done: Future[Done] = Future()
        done.set_result(work(task, cache, 1))
        return done

    def revive(self) -> None:
        """Do nothing, because no worker can be lost."""


def sharing() -> Iterator[Figure]:
    """Yield ratios of sweeps of 32 sequences on one core, then of the same work on one core and on two."""
    with TemporaryDirectory() as name:
        sweeps = _Sweeps(Path(name))
        sweeps.run(OneCore(), thetas=THETAS[:1])  # compiles
        one_s = min(sweeps.seconds(OneCore(), thetas=THETAS[:1]) for _ in range(REPEATS))
        eight_s = sweeps.seconds(OneCore(), thetas=THETAS)
        yield Figure("sharing", "sweep of 8 thresholds / one run", eight_s / one_s, "", MAX_SINGLE_RUNS)
        one_machine_s, nine_s = (
            sweeps.seconds(OneCore(), thetas=THETAS[:1], latencies=latencies)
            for latencies in (LATENCIES_CYCLES[:1], LATENCIES_CYCLES)
        )
        each_s = (nine_s - one_machine_s) / (len(LATENCIES_CYCLES) - 1)
        yield Figure("sharing", "one more machine / one run", each_s / one_s, "", MAX_SHARE_OF_A_RUN)
        by_jobs = [sweeps.seconds_by(jobs) for jobs in (1, 2)]
        yield _gain("sweep, two processes", *by_jobs)
    layer = target(SEQUENCES)
    run = partial(run_inference, layer.network, layer.trace, policy_from("bnn"), THETA, precision="fp32")
    yield _gain("functional pass, two threads", *(best_s(partial(run, threads=n)) for n in (1, 2)))


def _gain(name: str, one_s: float, two_s: float) -> Figure:
    return Figure("two cores", name, one_s / two_s, target=MIN_GAIN, at_least=True)


class _Sweeps:
    """Sweeps over the measured layer, each in its own folder, so that none finds in memory what another has read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self.layer = target(SEQUENCES)

    def run(self, pool: Pool, *, thetas: list[float], latencies: list[int] | None = None) -> None:
        """Run a grid of thresholds and machines; raise RuntimeError if a point fails."""
        self.number += 1
        folder = self.folder / f"{self.number}"
        self._write_target(folder / "net")
        axes: dict[str, Any] = {"threshold": thetas}
        if latencies:
            axes["arch.fmu.latency_cycles"] = latencies
        fixed = {"network": str(folder / "net"), "trace": str(folder / "net/trace.npz"), "precision": "fp32"}
        grid, text = load_grid({"axes": axes, "fixed": fixed})
        results = run_points(plan_points(grid), text, folder / "sweep", pool, command="bench")
        if results.results["error"].notna().any():
            raise RuntimeError(results.results["error"].dropna().iloc[0])

    def seconds(self, pool: Pool, **grid: Any) -> float:
        """Return the seconds of one sweep."""
        return seconds_of(lambda: self.run(pool, **grid))

    def seconds_by(self, jobs: int) -> float:
        """Return the seconds of a sweep on `jobs` processes that have imported and loaded everything."""
        pool = LocalPool(jobs)
        pool.threads = 1
        try:
            self.run(pool, thetas=[0.01 * n for n in range(1, 1 + jobs)])
            return min(self.seconds(pool, thetas=MANY_THETAS) for _ in range(2))
        finally:
            pool.kill()

    def _write_target(self, net: Path) -> None:
        net.mkdir(parents=True)
        (net / "network.toml").write_text(MANIFEST)
        save_file(self.layer.module.state_dict(), net / "weights.safetensors")
        archsim.write_trace(self.layer.trace, net / "trace.npz")
