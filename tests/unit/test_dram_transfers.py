"""Transfers of many bursts, power states, and requests that `replay_dram` refuses."""

import numpy as np
import pytest
from harness_dram import BL, CL, FIRST, JEDEC, ROW, SHIP, TPPD, TRCD, TREFI, TRFC, TRP, Bench, changed, finishes

import archsim
from archsim.config.dram import DramSpec, load_dram
from archsim.kernels.dram.requests import ROW_HIT


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
