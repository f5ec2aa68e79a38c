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
    changed,
    served,
)

import archsim
from archsim.kernels.dram.frfcfs import advance
from archsim.kernels.dram.requests import FINISH_PS


def test_a_first_read_opens_its_row():
    assert served((0, 0)) == [FIRST]
    assert served((0, 1000)) == [1000 + FIRST]


def test_a_row_hit_only_needs_its_column():
    assert served((0, 0), (64, 1000)) == [FIRST, 1000 + 1 + CL + BL]


def test_row_hits_follow_one_another_by_a_burst():
    assert served(*((64 * i, 0) for i in range(4))) == [FIRST + BL * i for i in range(4)]


def test_another_row_of_the_bank_waits_for_it_to_close():
    """Precharge, activate, read."""
    assert served((0, 0), (NEXT_ROW, 1000)) == [FIRST, 1000 + 1 + TRP + TRCD + CL + BL]


def test_a_row_stays_open_for_its_least_time():
    """Activated at 1, closed at 1 + tRAS at the earliest."""
    assert served((0, 0), (NEXT_ROW, 1)) == [FIRST, 1 + TRAS + TRP + TRCD + CL + BL]


def test_a_row_read_late_is_closed_a_read_to_precharge_later():
    """The second row hit is read at 200; without it the row could be closed at once."""
    assert served((0, 0), (64, 199), (NEXT_ROW, 200))[2] == 200 + TRTP + TRP + TRCD + CL + BL


def test_a_written_row_is_closed_when_it_has_recovered():
    written = 1 + TRCD + CWL + BL
    assert served((0, 0, "w"), (NEXT_ROW, 1)) == [written, max(written + TWR, 1 + TRAS) + TRP + TRCD + CL + BL]


def test_a_read_waits_for_a_write_to_be_over():
    """tWTR from the end of the data, whichever bank it goes to."""
    written = 1 + TRCD + CWL + BL
    assert served((0, 0, "w"), (64, 1)) == [written, written + TWTR + CL + BL]
    assert served((0, 0, "w"), (ROW, 1)) == [written, written + TWTR + CL + BL]


def test_a_write_puts_its_data_behind_those_read():
    """One cycle to turn the bus round."""
    assert served((0, 0), (64, 1, "w")) == [FIRST, FIRST + TRTRS + BL]


def test_writes_follow_one_another_by_a_burst():
    written = 1 + TRCD + CWL + BL
    assert served((0, 0, "w"), (64, 0, "w"), (128, 0, "w")) == [written, written + BL, written + 2 * BL]


def test_two_banks_are_activated_apart():
    assert served((0, 0), (ROW, 0)) == [FIRST, FIRST + TRRD]


def test_a_fifth_bank_waits_for_the_window_of_four():
    spec = changed(tfaw_cycles=100)
    assert served(*((ROW * i, 0) for i in range(5)), spec=spec) == [
        *(FIRST + TRRD * i for i in range(4)),
        FIRST + 100,
    ]
    assert served(*((ROW * i, 0) for i in range(5)))[4] == FIRST + max(4 * TRRD, TFAW)


def test_a_read_in_a_refresh_waits_for_its_end():
    """All rows are closed: due at tREFI, activate at tREFI + tRFC."""
    for at in (TREFI - 1, TREFI, TREFI + TRFC - 2):
        assert served((0, at)) == [TREFI + TRFC + TRCD + CL + BL], at
    assert served((0, TREFI + TRFC))[0] == TREFI + TRFC + FIRST


def test_a_read_just_before_a_refresh_is_served():
    """A column command in the cycle before it is due; one later, it is refreshed first."""
    assert served((0, 0), (64, TREFI - 2))[1] == TREFI - 1 + CL + BL
    assert served((0, 0), (64, TREFI - 1))[1] == TREFI + TRP + TRFC + TRCD + CL + BL


def test_open_rows_are_closed_one_after_the_other_before_a_refresh():
    """Three open banks: the third is precharged two tPPD after it is due."""
    found = served((0, 0), (ROW, 0), (2 * ROW, 0), (0, TREFI))
    assert found[3] == TREFI + 2 * TPPD + TRP + TRFC + TRCD + CL + BL


def test_refreshes_are_not_made_up_for():
    """Idle for ten intervals: ten refreshes, and a read that meets none of them is as fast as the first."""
    bench = Bench()
    bench.ask(0, 10 * TREFI + TRFC)
    assert bench.serve() == [10 * TREFI + TRFC + FIRST]
    assert bench.counts(until=10 * TREFI + TRFC + FIRST)["refresh"] == 10


def test_ranks_take_turns_at_being_refreshed():
    """One is refreshed while the other answers."""
    spec, rank = changed(ranks=2), 8 * ROW
    for due, busy, idle in ((TREFI // 2, 0, rank), (TREFI, rank, 0)):
        assert served((busy, due), spec=spec) == [due + TRFC + TRCD + CL + BL]
        assert served((idle, due), spec=spec) == [due + FIRST]


def test_an_idle_ranks_refreshes_do_not_pile_up():
    """While the other rank streams for forty intervals; a read long after all that is as fast as any."""
    bench, rank = Bench(changed(ranks=2)), 8 * ROW
    for i in range(60):
        bench.ask(2 * rank * i, n_bytes=rank)
    at = 50 * TREFI + 1500
    bench.ask(rank, at)
    assert bench.serve()[60] == at + FIRST
    counts = bench.counts(until=at)
    assert counts["refresh"] == 50 + 50
    assert counts["active_standby"] + counts["open_power_down"] + counts["closed_power_down"] == at + FIRST


def test_the_bus_changes_ranks_with_a_gap():
    spec = changed(ranks=2)
    assert served((0, 0), (8 * ROW, 0), (64, 200), (8 * ROW + 64, 200), spec=spec) == [
        FIRST,
        FIRST + BL + TRTRS,
        200 + 1 + CL + BL,
        200 + 1 + CL + BL + BL + TRTRS,
    ]


def test_channels_do_not_know_of_one_another():
    spec = changed(channels=2)
    assert served((0, 0), (8 * ROW, 0), spec=spec) == [FIRST, FIRST]


# The scheduler.


def test_a_row_hit_overtakes():
    """Rows A, B, A of one bank: the second A is read before the bank turns to B."""
    assert served((0, 0), (NEXT_ROW, 0), (64, 0)) == [FIRST, 1 + TRAS + TRP + TRCD + CL + BL, FIRST + BL]


def test_nothing_overtakes_in_a_queue_of_one():
    """Then they are served in order: A, B and A again."""
    found = served((0, 0), (NEXT_ROW, 0), (64, 0), spec=changed(queue_depth=1))
    assert found == sorted(found) and found[2] - found[1] > TRP + TRCD


@pytest.mark.parametrize("limit", [1, 4, 9])
def test_row_hits_cannot_starve_a_bank(limit):
    """With hits asked for without end, another row has its turn after so many."""
    spec = changed(row_hit_limit=limit)
    found = served((0, 0), (NEXT_ROW, 0), *((64 * i, 0) for i in range(1, 20)), spec=spec)
    assert sum(end < found[1] for end in found) == limit


@pytest.mark.parametrize("write", [False, True])
def test_the_other_direction_has_its_turn_after_a_refresh_at_last(write):
    """Turning the bus takes time, so a stream of reads keeps a write waiting, and the other way round."""
    bench = Bench()
    bench.ask(0, n_bytes=1 << 20, write=write)
    bench.ask(3 * ROW + 2 * NEXT_ROW, 1, write=not write)
    stream, other = bench.serve()
    assert other < 2 * TREFI < stream


def test_the_older_of_equals_goes_first():
    """Two banks closed alike, asked for in the same cycle."""
    assert np.argsort(served((3 * ROW, 0), (0, 0))).tolist() == [0, 1]
    assert np.argsort(served((0, 0), (3 * ROW, 0))).tolist() == [0, 1]


def test_what_goes_on_in_another_row_is_as_young_as_its_last_column_command():
    """Who asks in that very cycle, and comes before by order, is older."""
    bench = Bench()
    bench.n = 1
    bench.ask(0, n_bytes=ROW + 64)
    advance(bench.memory, bench.times, (1 + TRCD) * bench.spec.clock_period_ps, np.zeros(1, np.int64))
    bench.n = 0
    bench.ask(2 * ROW, at=1 + TRCD)
    advance_all(bench.memory, bench.times)
    ends = bench.memory.transfers[:2, FINISH_PS] // bench.spec.clock_period_ps
    assert (ends - (1 + TRCD + ROW // 64 * BL)).tolist() == [CL + BL, CL + 2 * BL]


def test_a_full_queue_makes_requests_wait_and_says_so():
    """issue_ns is when the queue had a place; the wait of a request with a time of its own counts."""
    asap = archsim.replay_dram(np.arange(200) * 64, JEDEC)
    first_read_ns, burst_ns = (1 + TRCD) * 0.625, BL * 0.625
    assert (asap["issue_ns"][:96] == 0).all() and asap["issue_ns"][96] == first_read_ns
    assert (np.diff(asap["issue_ns"][96:]) == burst_ns).all()
    timed = archsim.replay_dram(np.arange(200) * 64, JEDEC, issue=np.zeros(200))
    assert (timed["issue_ns"] == 0).all() and (timed["finish_ns"] == asap["finish_ns"]).all()
