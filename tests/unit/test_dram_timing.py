"""Commands and the scheduler of main memory, to the memory cycle, by hand from the timings of JESD209-4."""

import numpy as np
import pytest
from harness_dram import (
    BL,
    CL,
    CWL,
    FIRST,
    JEDEC,
    NEXT_ROW,
    ROW,
    TFAW,
    TPPD,
    TRAS,
    TRCD,
    TREFI,
    TRFC,
    TRP,
    TRRD,
    TRTP,
    TRTRS,
    TWR,
    TWTR,
    Bench,
    advance_all,
    finish_cycles,
    spec_with,
)

import archsim
from archsim.kernels.dram.frfcfs import advance
from archsim.kernels.dram.requests import FINISH_PS


def test_first_read_activates_its_row():
    assert finish_cycles((0, 0)) == [FIRST]
    assert finish_cycles((0, 1000)) == [1000 + FIRST]


def test_row_hit_takes_read_latency_and_burst():
    assert finish_cycles((0, 0), (64, 1000)) == [FIRST, 1000 + 1 + CL + BL]


def test_back_to_back_row_hits_are_one_burst_apart():
    assert finish_cycles(*((64 * i, 0) for i in range(4))) == [FIRST + BL * i for i in range(4)]


def test_row_conflict_takes_precharge_activate_and_read():
    """A read of another row of the bank waits for precharge, activate and read."""
    assert finish_cycles((0, 0), (NEXT_ROW, 1000)) == [FIRST, 1000 + 1 + TRP + TRCD + CL + BL]


def test_precharge_waits_for_tras_after_activate():
    """The row is activated at 1 and precharged at 1 + tRAS at the earliest."""
    assert finish_cycles((0, 0), (NEXT_ROW, 1)) == [FIRST, 1 + TRAS + TRP + TRCD + CL + BL]


def test_precharge_waits_for_trtp_after_a_late_read():
    """The second row hit is read at 200; without it the row could be precharged at once."""
    assert finish_cycles((0, 0), (64, 199), (NEXT_ROW, 200))[2] == 200 + TRTP + TRP + TRCD + CL + BL


def test_precharge_after_write_waits_for_write_recovery():
    written = 1 + TRCD + CWL + BL
    assert finish_cycles((0, 0, "w"), (NEXT_ROW, 1)) == [written, max(written + TWR, 1 + TRAS) + TRP + TRCD + CL + BL]


def test_read_after_write_waits_for_twtr_in_any_bank():
    """The time tWTR counts from the end of the written data, in the same bank or another."""
    written = 1 + TRCD + CWL + BL
    assert finish_cycles((0, 0, "w"), (64, 1)) == [written, written + TWTR + CL + BL]
    assert finish_cycles((0, 0, "w"), (ROW, 1)) == [written, written + TWTR + CL + BL]


def test_write_after_read_waits_for_bus_turnaround():
    """The bus takes one cycle to turn round between the data read and those written."""
    assert finish_cycles((0, 0), (64, 1, "w")) == [FIRST, FIRST + TRTRS + BL]


def test_back_to_back_writes_are_one_burst_apart():
    written = 1 + TRCD + CWL + BL
    assert finish_cycles((0, 0, "w"), (64, 0, "w"), (128, 0, "w")) == [written, written + BL, written + 2 * BL]


def test_activates_of_two_banks_are_trrd_apart():
    assert finish_cycles((0, 0), (ROW, 0)) == [FIRST, FIRST + TRRD]


def test_fifth_activate_waits_for_the_tfaw_window():
    spec = spec_with(tfaw_cycles=100)
    assert finish_cycles(*((ROW * i, 0) for i in range(5)), spec=spec) == [
        *(FIRST + TRRD * i for i in range(4)),
        FIRST + 100,
    ]
    assert finish_cycles(*((ROW * i, 0) for i in range(5)))[4] == FIRST + max(4 * TRRD, TFAW)


def test_read_during_refresh_waits_for_trfc():
    """All rows are closed: refresh is due at tREFI, so the row is activated at tREFI + tRFC."""
    for at in (TREFI - 1, TREFI, TREFI + TRFC - 2):
        assert finish_cycles((0, at)) == [TREFI + TRFC + TRCD + CL + BL], at
    assert finish_cycles((0, TREFI + TRFC))[0] == TREFI + TRFC + FIRST


def test_read_one_cycle_before_refresh_is_due_is_served_first():
    """A read command in the cycle before the refresh is due is served; one cycle later, refresh comes first."""
    assert finish_cycles((0, 0), (64, TREFI - 2))[1] == TREFI - 1 + CL + BL
    assert finish_cycles((0, 0), (64, TREFI - 1))[1] == TREFI + TRP + TRFC + TRCD + CL + BL


def test_refresh_waits_for_precharges_tppd_apart():
    """Three banks are open, so the third is precharged two tPPD after the refresh is due."""
    result = finish_cycles((0, 0), (ROW, 0), (2 * ROW, 0), (0, TREFI))
    assert result[3] == TREFI + 2 * TPPD + TRP + TRFC + TRCD + CL + BL


def test_idle_intervals_refresh_once_each_and_delay_no_later_read():
    """Ten idle intervals take ten refreshes, and a read that meets none of them is as fast as the first."""
    bench = Bench()
    bench.ask(0, 10 * TREFI + TRFC)
    assert bench.serve() == [10 * TREFI + TRFC + FIRST]
    assert bench.counts(until=10 * TREFI + TRFC + FIRST)["refresh"] == 10


def test_one_rank_serves_while_the_other_refreshes():
    """Refreshes of two ranks are half an interval apart; the other rank answers meanwhile."""
    spec, rank = spec_with(ranks=2), 8 * ROW
    for due, busy, idle in ((TREFI // 2, 0, rank), (TREFI, rank, 0)):
        assert finish_cycles((busy, due), spec=spec) == [due + TRFC + TRCD + CL + BL]
        assert finish_cycles((idle, due), spec=spec) == [due + FIRST]


def test_idle_rank_refreshes_on_time_while_the_other_streams():
    """One rank streams for forty intervals; a read of the idle rank long after that is as fast as any."""
    bench, rank = Bench(spec_with(ranks=2)), 8 * ROW
    for i in range(60):
        bench.ask(2 * rank * i, n_bytes=rank)
    at = 50 * TREFI + 1500
    bench.ask(rank, at)
    assert bench.serve()[60] == at + FIRST
    counts = bench.counts(until=at)
    assert counts["refresh"] == 50 + 50
    assert counts["active_standby"] + counts["open_power_down"] + counts["closed_power_down"] == at + FIRST


def test_refresh_of_an_idle_rank_counts_as_active_though_the_other_rank_is_read_meanwhile():
    """Refreshes are due at TREFI / 2 and TREFI; a read of the first rank falls into that of the second."""
    bench, at = Bench(spec_with(ranks=2)), TREFI + TRFC // 2
    bench.ask(0, at)
    assert bench.serve() == [at + FIRST]
    counts = bench.counts(until=TREFI + 2 * TRFC)
    assert counts["refresh"] == 2 and at + FIRST < TREFI + TRFC
    assert counts["active_standby"] == 2 * TRFC


@pytest.mark.parametrize("ranks", [1, 2])
def test_refreshes_of_idle_ranks_all_count_as_active(ranks):
    """Those of ten intervals, in which nobody asks, and which one read after them does not change."""
    bench, at = Bench(spec_with(ranks=ranks)), 10 * TREFI + TRFC
    assert bench.counts(until=at)["active_standby"] == 10 * ranks * TRFC
    again = Bench(spec_with(ranks=ranks))
    again.ask(0, at)
    assert again.serve() == [at + FIRST]
    assert again.counts(until=at)["active_standby"] == 10 * ranks * TRFC + FIRST - again.times.controller


def test_data_of_different_ranks_are_trtrs_apart():
    spec = spec_with(ranks=2)
    assert finish_cycles((0, 0), (8 * ROW, 0), (64, 200), (8 * ROW + 64, 200), spec=spec) == [
        FIRST,
        FIRST + BL + TRTRS,
        200 + 1 + CL + BL,
        200 + 1 + CL + BL + BL + TRTRS,
    ]


def test_channels_serve_independently():
    spec = spec_with(channels=2)
    assert finish_cycles((0, 0), (8 * ROW, 0), spec=spec) == [FIRST, FIRST]


# The scheduler.


def test_row_hit_is_served_before_an_older_row_conflict():
    """Rows A, B, A of one bank: the second A is read before the bank turns to B."""
    assert finish_cycles((0, 0), (NEXT_ROW, 0), (64, 0)) == [FIRST, 1 + TRAS + TRP + TRCD + CL + BL, FIRST + BL]


def test_queue_depth_of_one_serves_row_conflict_in_order():
    """Rows A, B, A are served in that order."""
    result = finish_cycles((0, 0), (NEXT_ROW, 0), (64, 0), spec=spec_with(queue_depth=1))
    assert result == sorted(result) and result[2] - result[1] > TRP + TRCD


@pytest.mark.parametrize("limit", [1, 4, 9])
def test_row_hit_limit_bounds_hits_before_a_waiting_row(limit):
    """While row hits keep arriving, a request for another row is served after `row_hit_limit` of them."""
    spec = spec_with(row_hit_limit=limit)
    result = finish_cycles((0, 0), (NEXT_ROW, 0), *((64 * i, 0) for i in range(1, 20)), spec=spec)
    assert sum(end < result[1] for end in result) == limit


@pytest.mark.parametrize("write", [False, True])
def test_read_amid_writes_or_write_amid_reads_is_served_after_a_refresh(write):
    """Turning the bus takes time, so a stream of reads keeps a write waiting, but not beyond two refreshes."""
    bench = Bench()
    bench.ask(0, n_bytes=1 << 20, write=write)
    bench.ask(3 * ROW + 2 * NEXT_ROW, 1, write=not write)
    stream, other = bench.serve()
    assert other < 2 * TREFI < stream


def test_equal_requests_are_served_oldest_first():
    """Two closed banks are requested in the same cycle."""
    assert np.argsort(finish_cycles((3 * ROW, 0), (0, 0))).tolist() == [0, 1]
    assert np.argsort(finish_cycles((0, 0), (3 * ROW, 0))).tolist() == [0, 1]


def test_request_crossing_rows_is_requeued_by_last_column_time():
    """A request that arrives in that very cycle and comes before it by order is older."""
    bench = Bench()
    bench.n = 1
    bench.ask(0, n_bytes=ROW + 64)
    advance(bench.memory, bench.times, (1 + TRCD) * bench.spec.clock_period_ps, np.zeros(1, np.int64))
    bench.n = 0
    bench.ask(2 * ROW, at=1 + TRCD)
    advance_all(bench.memory, bench.times)
    ends = bench.memory.transfers[:2, FINISH_PS] // bench.spec.clock_period_ps
    assert (ends - (1 + TRCD + ROW // 64 * BL)).tolist() == [CL + BL, CL + 2 * BL]


def test_issue_time_of_asap_requests_is_when_the_queue_has_a_slot():
    """A request with an issue time of its own keeps it, and its wait counts."""
    asap = archsim.replay_dram(np.arange(200) * 64, JEDEC)
    first_read_ns, burst_ns = (1 + TRCD) * 0.625, BL * 0.625
    assert (asap["issue_ns"][:96] == 0).all() and asap["issue_ns"][96] == first_read_ns
    assert (np.diff(asap["issue_ns"][96:]) == burst_ns).all()
    timed = archsim.replay_dram(np.arange(200) * 64, JEDEC, issue=np.zeros(200))
    assert (timed["issue_ns"] == 0).all() and (timed["finish_ns"] == asap["finish_ns"]).all()
