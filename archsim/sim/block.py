"""Detail `block`: one event per pass, its step times by the recurrence of SEMANTICS 2.2. The default."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archsim.config.specs import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.facts import Busy
from archsim.engine.probe import Probe
from archsim.ir.cells import Cell
from archsim.kernels.timing import step_end_cycles
from archsim.sim.actions import cell_update, emit_actions, evaluation, prediction, step_transfers
from archsim.sim.step_times import step_times
from archsim.sim.units.wires import Process
from archsim.sim.work import PassWork


class BlockDetail:
    """The compute side as one unit that knows when each step of a pass ends."""

    def __init__(self, env: Engine, arch: ArchSpec, cells: Sequence[Cell], probe: Probe) -> None:
        self.env, self.arch, self.cells, self.probe = env, arch, cells, probe

    def run_pass(self, work: PassWork) -> Process:
        """Run all steps of a pass; the process returns S_{t+1} of each, in cycles from now."""
        start_ps = self.env.now_ps
        shape = work.shape
        ends = step_end_cycles(work.reuse_bits, shape.n_gates, shape.n_units, step_times(self.arch, shape))
        yield self.env.timeout(self.arch.clock.to_ps(int(ends[-1])))
        self._emit_actions(work)
        for gate in range(shape.n_gates):
            self.probe.emit(Busy, unit=f"CU{gate}", what=work.label, start_ps=start_ps, end_ps=self.env.now_ps)
        return ends

    def _emit_actions(self, work: PassWork) -> None:
        shape, neurons = work.shape, work.n_steps * work.shape.neurons_per_step
        reused = int(np.bitwise_count(work.reuse_bits).sum(dtype=np.int64))
        emit_actions(self.probe, prediction(self.arch, shape), neurons)
        emit_actions(self.probe, evaluation(self.arch, shape), neurons - reused)
        emit_actions(self.probe, cell_update(self.cells[shape.layer]), work.n_steps * shape.n_units)
        emit_actions(self.probe, step_transfers(self.arch, shape), work.n_steps)
