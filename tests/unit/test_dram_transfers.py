"""Transfers of many bursts, power states, and requests that `replay_dram` refuses."""

import numpy as np
import pytest
from harness_dram import (
    BL,
    CL,
    FIRST,
    JEDEC,
    ROW,
    SHIP,
    TPPD,
    TRCD,
    TREFI,
    TRFC,
    TRP,
    Bench,
    replayed_cycles,
    spec_with,
)

import archsim
from archsim.config.dram import DramSpec, load_dram
from archsim.kernels.dram.requests import ROW_HIT


def streamed(spec, n_bytes, write=False):
    bench = Bench(spec)
    bench.ask(0, n_bytes=n_bytes, write=write)
    return bench.serve()[0]


def test_two_channels_stream_twice_as_fast_within_one_percent():
    one, two = (streamed(spec_with(channels=n), 4 << 20) for n in (1, 2))
    assert one / two == pytest.approx(2, rel=0.01)


def test_streaming_bandwidth_is_peak_less_refresh():
    """Every tREFI the open rows are precharged, eight at most, and the rank is refreshed."""
    share = (4 << 20) / 64 * BL / streamed(DramSpec(), 4 << 20)
    assert 1 - (TRFC + TRP + TRCD + CL + BL + 8 * TPPD) / TREFI < share < 1 - TRFC / TREFI


@pytest.mark.parametrize("preset", [JEDEC, SHIP])
@pytest.mark.parametrize("n_bursts", [1, 2, 63, 64, 65, 1000, 16384])
@pytest.mark.parametrize("first", [0, 63, 8 * 64 - 1])
def test_large_transfer_ends_with_its_bursts_requested_one_by_one(preset, n_bursts, first):
    """A transfer served one row at a time ends when as many single requests do.

    The second row is activated while the first is read, so where the first is one burst, the transfer may end up to
    tRCD later. A refresh may find other rows open.
    """
    one = replayed_cycles(preset, [64 * first], bytes_per_request=64 * n_bursts)[0]
    many = replayed_cycles(preset, (first + np.arange(n_bursts)) * 64).max()
    if first == 0 and n_bursts < 600:
        assert one == many
    else:
        assert -2e-4 * many <= one - many <= load_dram(preset).trcd_cycles + 2e-4 * many


@pytest.mark.parametrize("address, n_bytes, bursts", [(0, 64, 1), (0, 65, 2), (63, 2, 2), (60, 1, 1), (32, 64, 2)])
def test_transfer_reads_every_burst_it_touches(address, n_bytes, bursts):
    bench = Bench()
    bench.ask(address, n_bytes=n_bytes)
    assert bench.serve() == [FIRST + BL * (bursts - 1)]
    assert bench.counts(until=0)["read"] == bursts


def test_row_hit_flag_is_that_of_the_first_burst():
    bench = Bench()
    bench.ask(0, n_bytes=2 * ROW)
    bench.ask(ROW, 5000, n_bytes=64)
    bench.serve()
    assert bench.memory.transfers[:2, ROW_HIT].tolist() == [0, 1]


def test_idle_channel_powers_down_before_and_after_a_read():
    """The rows are closed before the read; afterwards its row stays open."""
    bench = Bench()
    bench.ask(0, 1000)
    bench.serve()
    counts = bench.counts(until=3000)
    assert counts["closed_power_down"] == 1001
    assert counts["active_standby"] == FIRST - 1
    assert counts["open_power_down"] == 3000 - 1000 - FIRST


# Refusals.


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
def test_invalid_replay_arguments_are_refused(arguments, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.replay_dram(*arguments)


def test_largest_address_and_late_issue_time_are_replayed():
    result = archsim.replay_dram([1 << 48], issue=[1e6])
    assert result["finish_ns"][0] == pytest.approx(1e6, rel=1e-3)
    assert list(result.columns) == ["issue_ns", "finish_ns", "row_hit"] and result["row_hit"].dtype == bool
