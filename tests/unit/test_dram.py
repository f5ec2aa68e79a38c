"""Main memory by itself: against the reference, against another controller, edges to the memory cycle, and laws."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.config.dram import DramSpec, load_dram
from archsim.energy.dram import command_pj
from archsim.kernels.dram.channel import COUNTS, COUNTS_FROM
from archsim.kernels.dram.frfcfs import advance, catch_up
from archsim.kernels.dram.requests import ARRIVAL, FINISH_PS, NO_PORT, ORDER, QUEUED, ROW_HIT, idle_memory, submit
from archsim.sim.memory.dram import dram_times

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
JEDEC, SHIP = "lpddr4-3200-x32", "lpddr4-2400-x32"
PRESETS = {"jedec3200_x32": JEDEC, "ship32": SHIP}
FOREVER_PS = 1 << 60


def reference(file):
    with (REFERENCE / file).open() as stream:
        return list(csv.DictReader(stream))


def in_cycles(preset, ns):
    """Times of a preset's clock; they are whole numbers."""
    cycles = np.asarray(ns) * 1000 / load_dram(preset).clock_period_ps
    np.testing.assert_allclose(cycles, np.round(cycles), atol=1e-3)
    return np.round(cycles).astype(np.int64)


def finishes(preset, addresses, issue="asap", **options):
    return in_cycles(preset, archsim.replay_dram(addresses, preset, issue=issue, **options)["finish_ns"])


# The reference.


@pytest.mark.parametrize("row", reference("lpddr4_streaming.csv"), ids=lambda r: f"{r['config']}-{r['pattern']}")
def test_streaming_is_the_references(row):
    """Sequential reads, 64 bytes each: issue asks for 2 %, and it is 0.05 %."""
    preset = PRESETS[row["config"]]
    found = archsim.replay_dram(np.arange(int(row["requests"])) * int(row["access_bytes"]), preset)
    assert in_cycles(preset, found["finish_ns"]).max() == pytest.approx(int(row["cycles"]), rel=5e-4)
    assert found["row_hit"].sum() == pytest.approx(int(row["row_hits"]), rel=2e-3)


@pytest.mark.parametrize("row", reference("lpddr4_pairs.csv"), ids=lambda r: f"{r['config']}-{r['pair']}")
def test_pairs_are_the_references(row):
    """The second of two reads, to the memory cycle."""
    preset, gap = PRESETS[row["config"]], int(row["gap_cycles"])
    spec = load_dram(preset)
    # As the reference lays out addresses, a bank's row after the other; b2b pairs are asked for together.
    row_bytes = spec.row_bursts * spec.burst_bytes
    second = {
        "row_hit": spec.burst_bytes,
        "row_closed_other_bank": row_bytes,
        "other_bank": row_bytes,
        "other_bankgroup": 4 * row_bytes,
        "bank_conflict": spec.banks * row_bytes,
    }[row["pair"].split("_", 1)[1]]
    issue = [0, gap * spec.clock_period_ps / 1000]
    first_end, second_end = finishes(preset, [0, second], issue)
    assert first_end == int(row["lat1_cyc"])
    assert second_end - gap == int(row["lat2_cyc"])
    assert second_end - first_end == int(row["delta_completion_cyc"])
    assert archsim.replay_dram([0, second], preset, issue=issue)["row_hit"].sum() == int(row["row_hits"])


@pytest.mark.parametrize("row", reference("lpddr4_streaming.csv"), ids=lambda r: f"{r['config']}-{r['pattern']}")
def test_energy_of_rows_and_refresh_is_the_references(row):
    """Energy per byte of opening rows and of refresh; and of standing by, where a refresh's cycles are reckoned less."""
    pj, n_bytes = command_pj(load_dram(PRESETS[row["config"]])), int(row["bytes_transferred"])
    assert int(row["acts"]) * pj["activate"] / n_bytes == pytest.approx(float(row["act_pj_per_byte"]), abs=0.006)
    assert int(row["refs"]) * pj["refresh"] / n_bytes == pytest.approx(float(row["ref_pj_per_byte"]), abs=0.006)
    standby = int(row["cycles"]) * pj["active_standby"] / n_bytes
    assert standby == pytest.approx(float(row["bg_pj_per_byte"]), rel=0.02)


# Another controller.

N = 16384
CYCLES = {
    "sequential": (142892, 137633),
    "stride_128": (142876, 137633),
    "stride_256": (142996, 137641),
    "stride_1024": (143363, 137734),
    "stride_4096": (288175, 137833),
    "stride_8192": (433644, 202447),
    "stride_16384": (864262, 404287),
    "stride_32768": (1720377, 807861),
    "stride_65536": (1720377, 807861),
    "stride_4160": (288175, 137833),
    "random_1GiB": (290009, 139210),
    "random_64KiB": (143332, 137786),
    "two_streams_16MiB": (175720, 152988),
    "random_pairs": (146059, 137953),
}
"""Cycles for 16384 reads of 64 bytes with both parameter sets, as fast as its queues took them, from an independent
cycle-stepped controller (per-bank queues, a command a cycle), validated on the reference files; reads of one burst
are not merged."""


def addresses_of(pattern):
    """As that controller was given them."""
    i = np.arange(N, dtype=np.int64)
    kind, _, size = pattern.partition("_")
    if kind == "stride":
        return i * int(size)
    if pattern == "two_streams_16MiB":
        return (i // 2) * 64 + (i % 2) * (16 << 20)
    if pattern == "random_pairs":
        first = np.random.default_rng(2).integers(0, 2**23, N // 2) * 128
        return np.stack([first, first + 64], axis=1).reshape(-1)
    if kind == "random":
        seed, bursts = {"1GiB": (0, 2**24), "64KiB": (1, 1024)}[size]
        return np.random.default_rng(seed).integers(0, bursts, N) * 64
    return i * 64


@pytest.mark.parametrize("pattern", CYCLES)
def test_another_controller_needs_as_long(pattern):
    """Within 1.2 %; two interleaved streams, where what is open when matters most, within 10 %."""
    within = 0.1 if pattern == "two_streams_16MiB" else 0.012
    for preset, cycles in zip((JEDEC, SHIP), CYCLES[pattern], strict=True):
        assert finishes(preset, addresses_of(pattern)).max() == pytest.approx(cycles, rel=within)


# Edges, by hand from JESD209-4's timings for LPDDR4-3200, in memory cycles: a command is one cycle after its request.

TRCD, TRP, CL, CWL, TRAS, TRRD, TFAW, TWR, TWTR, TRTP, TRTRS, TRFC, TREFI, TPPD = (
    *(29, 29, 34, 14, 68, 16, 64, 29, 16, 12, 1, 448, 6246, 4),
)
BL = 8
"""Cycles of a burst of 16 words, and between two."""
ROW = 64 * 64
NEXT_ROW = 8 * ROW
"""Bytes in a row of a bank; from there to the next row of the same bank."""


class Bench:
    """A memory that transfers are put to one by one, which may read or write."""

    def __init__(self, spec=None):
        self.spec = spec or DramSpec()
        self.times = dram_times(self.spec)
        self.memory = idle_memory(self.times, n_transfers=64, ports=0, period_ps=1, word_bytes=1)
        self.n = 0

    def ask(self, address, at=0, *, n_bytes=64, write=False):
        at_ps = at * self.spec.clock_period_ps
        submit(self.memory, self.times, self.n, address, n_bytes, write, at_ps, self.n, NO_PORT, 0)
        self.n += 1

    def serve(self):
        """Cycles at which the transfers finish, in the order asked for."""
        advance_all(self.memory, self.times)
        return (self.memory.transfers[: self.n, FINISH_PS] // self.spec.clock_period_ps).tolist()

    def counts(self, until):
        catch_up(self.memory, self.times, until * self.spec.clock_period_ps)
        return dict(zip(COUNTS, self.memory.channels.buses[:, COUNTS_FROM:].sum(axis=0).tolist(), strict=True))


def advance_all(memory, times):
    finished, n = np.zeros(64, np.int64), 1
    while n:
        n, _ = advance(memory, times, FOREVER_PS, finished)


def served(*requests, spec=None):
    bench = Bench(spec)
    for address, at, *write in requests:
        bench.ask(address, at, write=bool(write))
    return bench.serve()


def changed(**fields):
    return DramSpec.model_validate({**DramSpec().model_dump(), **fields})


FIRST = 1 + TRCD + CL + BL


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


# Laws.

requests = st.lists(
    st.tuples(st.integers(0, 40).map(lambda i: i * 1024), st.integers(0, 3000)), min_size=1, max_size=60
)
machines = st.builds(
    changed,
    channels=st.integers(1, 2), ranks=st.integers(1, 2), columns=st.sampled_from([16, 64, 1024]),
    queue_depth=st.sampled_from([1, 2, 5, 96]), row_hit_limit=st.integers(1, 5),
    tfaw_cycles=st.sampled_from([32, 64, 150]), trefi_cycles=st.sampled_from([2000, 6246]),
)  # fmt: skip


@settings(max_examples=200)
@given(machines, requests, st.integers(1, 400), st.integers(0, 2**60 - 1))
def test_whatever_is_asked_for_is_served_once_and_not_too_early(spec, wanted, n_bytes, writes):
    """Every transfer finishes, no sooner than its bursts can pass the bus; commands add up; time is one state each."""
    bench = Bench(spec)
    for i, (address, at) in enumerate(wanted):
        bench.ask(address, at, n_bytes=n_bytes, write=bool(writes >> i & 1))
    ends = bench.serve()
    bursts = -(-n_bytes // 64)
    for i, ((_, at), end) in enumerate(zip(wanted, ends, strict=True)):
        least = (CWL if writes >> i & 1 else CL) + BL * -(-bursts // spec.channels)
        assert end >= at + 1 + least
    counts = bench.counts(until=max(ends))
    assert counts["read"] + counts["write"] == bursts * len(wanted)
    assert counts["precharge"] <= counts["activate"] <= counts["read"] + counts["write"] + counts["refresh"]
    assert max(ends) * spec.channels >= bursts * len(wanted) * BL  # never above the peak
    states = sum(counts[state] for state in ("active_standby", "open_power_down", "closed_power_down"))
    assert states >= max(ends) * spec.channels


@given(machines, requests, st.integers(1, 9000))
def test_a_queue_is_kept_by_age(spec, wanted, n_bytes):
    """Whatever enters late, leaves from the middle, or goes on in another row."""
    bench, finished, n = Bench(spec), np.zeros(1, np.int64), 1
    for address, at in wanted:
        bench.ask(address, at, n_bytes=n_bytes)
    while n:
        n, _ = advance(bench.memory, bench.times, FOREVER_PS, finished)
        for queue, places, queued in zip(
            bench.memory.queue, bench.memory.by_age, bench.memory.cursors[:, QUEUED], strict=True
        ):
            ages = queue[places[:queued]][:, [ARRIVAL, ORDER]].tolist()
            assert ages == sorted(ages)
            assert sorted(places) == list(range(places.size))


@given(machines, st.lists(st.integers(0, 40).map(lambda i: i * 1024), min_size=1, max_size=60))
def test_a_queue_of_one_serves_in_order(spec, addresses):
    """On one channel."""
    spec = spec.model_copy(update={"queue_depth": 1, "channels": 1})
    ends = served(*((address, 0) for address in addresses), spec=spec)
    assert ends == sorted(ends)


@given(requests)
def test_moving_a_run_into_other_rows_changes_nothing(wanted):
    """Only which row it is, of which bank, matters: the same requests, all a thousand rows on."""
    shifted = [(address + 1000 * NEXT_ROW, at) for address, at in wanted]
    assert served(*wanted) == served(*shifted)


@given(requests, st.integers(0, 9))
def test_a_read_that_comes_after_all_are_done_changes_nothing(wanted, address):
    ends = served(*wanted)
    assert served(*wanted, (address * 64, max(ends)))[:-1] == ends


@given(requests, st.randoms(use_true_random=False))
def test_replay_takes_requests_in_any_order(wanted, random):
    """Rows come back as they were given, whatever order of time they have."""
    order = list(range(len(wanted)))
    random.shuffle(order)
    distinct = [(address, 0.625 * at + 0.001 * i) for i, (address, at) in enumerate(wanted)]
    plain, shuffled = (
        archsim.replay_dram([distinct[i][0] for i in o], JEDEC, issue=[distinct[i][1] for i in o])
        for o in (range(len(wanted)), order)
    )
    assert plain["finish_ns"].to_numpy()[order].tolist() == shuffled["finish_ns"].tolist()


# A transfer of many bursts.


def streamed(spec, n_bytes, write=False):
    bench = Bench(spec)
    bench.ask(0, n_bytes=n_bytes, write=write)
    return bench.serve()[0]


def test_two_channels_stream_nearly_twice_as_fast():
    one, two = (streamed(changed(channels=n), 4 << 20) for n in (1, 2))
    assert one / two == pytest.approx(2, rel=0.01)


def test_streaming_stays_below_the_peak_by_what_refresh_takes():
    """Every tREFI the rows are closed, all eight if it must be, and the rank refreshed."""
    share = (4 << 20) / 64 * BL / streamed(DramSpec(), 4 << 20)
    assert 1 - (TRFC + TRP + TRCD + CL + BL + 8 * TPPD) / TREFI < share < 1 - TRFC / TREFI


@pytest.mark.parametrize("preset", [JEDEC, SHIP])
@pytest.mark.parametrize("n_bursts", [1, 2, 63, 64, 65, 1000, 16384])
@pytest.mark.parametrize("first", [0, 63, 8 * 64 - 1])
def test_a_large_transfer_is_its_bursts_one_by_one(preset, n_bursts, first):
    """Served a row at a time, it ends when as many requests do.

    Its second row is opened as the first is read, and not before: where that is one burst, it comes tRCD later at
    most. And a refresh may find another row open.
    """
    one = finishes(preset, [64 * first], bytes_per_request=64 * n_bursts)[0]
    many = finishes(preset, (first + np.arange(n_bursts)) * 64).max()
    if first == 0 and n_bursts < 600:
        assert one == many
    else:
        assert -2e-4 * many <= one - many <= load_dram(preset).trcd_cycles + 2e-4 * many


@pytest.mark.parametrize("address, n_bytes, bursts", [(0, 64, 1), (0, 65, 2), (63, 2, 2), (60, 1, 1), (32, 64, 2)])
def test_a_transfer_takes_every_burst_it_touches(address, n_bytes, bursts):
    bench = Bench()
    bench.ask(address, n_bytes=n_bytes)
    assert bench.serve() == [FIRST + BL * (bursts - 1)]
    assert bench.counts(until=0)["read"] == bursts


def test_row_hit_is_that_of_the_first_burst():
    bench = Bench()
    bench.ask(0, n_bytes=2 * ROW)
    bench.ask(ROW, 5000, n_bytes=64)
    bench.serve()
    assert bench.memory.transfers[:2, ROW_HIT].tolist() == [0, 1]


def test_states_of_an_idle_channel():
    """One read: closed before it, active until its data have passed, then powered down with its row open."""
    bench = Bench()
    bench.ask(0, 1000)
    bench.serve()
    counts = bench.counts(until=3000)
    assert counts["closed_power_down"] == 1001
    assert counts["active_standby"] == FIRST - 1
    assert counts["open_power_down"] == 3000 - 1000 - FIRST


# What cannot be replayed.


@pytest.mark.parametrize("arguments, message", [
    (([],), "addresses_bytes is empty: need at least one address"),
    (([0, -64],), "addresses_bytes has -64: need whole numbers from 0 to"),
    (([0, 1 << 49],), "addresses_bytes has 562949953421312: need whole numbers from 0 to 281474976710656"),
    (([1 << 70],), "addresses_bytes: need a list of whole numbers"),
    (([0.5],), "addresses_bytes: need a list of whole numbers"),
    (([[0, 64]],), "addresses_bytes: need a list of whole numbers"),
    ((["0"],), "addresses_bytes: need a list of whole numbers"),
    (([[0], [1, 2]],), "addresses_bytes: need a list of whole numbers"),
    ((0,), "addresses_bytes: need a list of whole numbers"),
    ((None,), "addresses_bytes: need a list of whole numbers"),
    (([True],), "addresses_bytes: need a list of whole numbers"),
    (([0], "lpddr4"), "unknown memory 'lpddr4'.*known: lpddr4-2400-x32, lpddr4-3200-x32"),
    (([0], 3), "unknown memory '3'"),
    (([0], JEDEC, 0), "bytes_per_request = 0: need a whole number from 1 to"),
    (([0], JEDEC, 64.0), "bytes_per_request = 64.0: need a whole number"),
    (([0], JEDEC, True), "bytes_per_request = True: need a whole number"),
    (([0], JEDEC, 1 << 60), "bytes_per_request = .*: need a whole number from 1 to"),
    (([0], JEDEC, 64, "soon"), "issue = 'soon': accepted: 'asap', or a list of times in ns"),
    (([0, 64], JEDEC, 64, [0]), r"issue has shape \(1,\): need one time in ns for each of 2 addresses"),
    (([0], JEDEC, 64, [float("nan")]), "issue: need finite times in ns, >= 0"),
    (([0], JEDEC, 64, [float("inf")]), "issue: need finite times in ns, >= 0"),
    (([0], JEDEC, 64, [-1]), "issue: need finite times in ns, >= 0"),
    (([0], JEDEC, 64, [1e300]), "issue: need finite times in ns"),
    (([0], JEDEC, 64, ["x"]), "issue: accepted: 'asap', or a list of times in ns"),
    (([0], JEDEC, 64, None), "issue"),
])  # fmt: skip
def test_what_cannot_be_replayed_is_refused(arguments, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.replay_dram(*arguments)


def test_the_ends_of_what_can_be_replayed():
    """The largest address, the latest time."""
    found = archsim.replay_dram([1 << 48], issue=[1e6])
    assert found["finish_ns"][0] == pytest.approx(1e6, rel=1e-3)
    assert list(found.columns) == ["issue_ns", "finish_ns", "row_hit"] and found["row_hit"].dtype == bool
