"""Co-simulation of a pass with main memory.

Two kinds of passes need it: one that streams requests rows and waits for them, and one whose weights are all resident
waits for its bank while fills of other weights occupy it, if a weight buffer has one bank.
"""

from __future__ import annotations

import numpy as np
import simpy

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.kernels.arrays import I64
from archsim.kernels.dram.channel import DramTimes
from archsim.kernels.dram.requests import Memory
from archsim.kernels.pipeline.cosimulation import advance_pass
from archsim.kernels.pipeline.pass_state import IS_OVER, STEP, STEP_START, PassState, pass_before_start
from archsim.kernels.pipeline.streamed import enter_first_step
from archsim.sim.actions import port_words
from archsim.sim.items import PassWork
from archsim.sim.machines.epur.costs import input_bits, step_times
from archsim.sim.memory.dram import MainMemory
from archsim.sim.memory.intermediate_port import IntermediatePort


class CoSimulatedPass:
    """Pass that main memory advances up to the next event of the simulation; `ended` fires with its PassTimes."""

    def __init__(
        self, env: Engine, arch: ArchSpec, work: PassWork, *, dram: MainMemory, port: IntermediatePort, spans: bool
    ) -> None:
        self.env = env
        self.arch = arch
        self.work = work
        self.dram = dram
        self.port = port
        self.step_times = step_times(arch, work.segment)
        self.port_words = port_words(arch, work.segment, input_bits(arch, work.segment))
        self.ended = env.event()
        self.state = self._pass_before_start(spans)
        self.n_reserved = 0
        dram.co_simulate(self)

    def advance(self, dram_state: Memory, dram_times: DramTimes, until_ps: int, finished: I64) -> tuple[int, int]:
        """Advance to `until_ps`, and end the co-simulation when the pass is over.

        Writes the finished transfers of others to `finished`; returns their number and the time of the next call.
        """
        n_finished, wake_ps = advance_pass(self.state, self.step_times, dram_state, dram_times, until_ps, finished)
        self._reserve_steps()
        if self.state.progress[IS_OVER]:
            self.dram.end_co_simulation(self.state.transfer_ids)
            # The kernel runs ahead of the simulation, so the end of the pass may still lie in the future.
            end_ps = self.arch.clock.to_ps(int(self.state.progress[STEP_START]))
            self.env.timeout(end_ps - self.env.now_ps).callbacks.append(self._end)
        return n_finished, wake_ps

    def _end(self, _: simpy.Event) -> None:
        self.ended.succeed(self.state.result)

    def _reserve_steps(self) -> None:
        """Reserve the port of the intermediate memory for the steps that have begun since the last call."""
        begun = min(int(self.state.progress[STEP]) + 1, self.work.n_steps)
        if begun > self.n_reserved:
            starts = self.state.start + np.concatenate([[0], self.state.result.step_ends])[self.n_reserved : begun]
            self.port.reserve(starts, self.port_words)
            self.n_reserved = begun

    def _pass_before_start(self, spans: bool) -> PassState:
        segment, streamed = self.work.segment, self.work.streamed
        n_gates, n_units = segment.shape.n_gates, segment.shape.n_units
        # The kernel takes at least one slot, which stays unused without streaming, as does the address 0.
        slots, addresses = (streamed.slots, streamed.addresses) if streamed else (1, (0,) * n_gates)
        state = pass_before_start(
            np.ascontiguousarray(self.work.reuse_bits),
            streamed.resident if streamed else np.ones(n_units, np.bool_),
            np.array(addresses, np.int64),
            self.dram.reserve_transfers(n_gates * slots).reshape(n_gates, slots),
            row_bytes=segment.row_bytes,
            n_transfers=self.dram.memory.transfers.shape[0],
            shares_bank=self.arch.weight_buffer.banks == 1,
            resets_before=segment.resets_before,
            start=self.arch.clock.to_cycles(self.env.now_ps),
            spans=spans,
        )
        enter_first_step(state, self.step_times)
        return state
