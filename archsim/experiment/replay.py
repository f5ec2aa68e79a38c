"""Replay of a list of addresses on the main memory alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from archsim.config.dram import load_dram
from archsim.engine.environment import FOREVER_PS
from archsim.errors import ConfigError
from archsim.kernels.arrays import I64
from archsim.kernels.dram.frfcfs import advance
from archsim.kernels.dram.requests import ENTERED_PS, FINISH_PS, ROW_HIT, idle_memory, submit_all
from archsim.sim.memory.dram import dram_times

if TYPE_CHECKING:
    import pandas as pd

PS_PER_NS = 1000
MAX_VALUE = 1 << 48
"""Largest address in bytes, and largest time in picoseconds: beyond any memory, and far from overflow."""
MAX_REQUEST_BYTES = 1 << 30


def replay_dram(
    addresses_bytes: Sequence[int] | I64,
    preset: str = "lpddr4-3200-x32",
    bytes_per_request: int = 64,
    issue: str | Sequence[float] = "asap",
    write: bool = False,
) -> pd.DataFrame:
    """Replay reads or writes on a main memory; return issue time, finish time and row hit per address.

    issue: "asap" issues each request as soon as the scheduler's queue has a free slot. A list gives one time in ns per
    address; a request that finds the queue full waits, and its wait counts.
    The frame has one row per address, in the order given: issue_ns and finish_ns (float), row_hit (bool).
    Raises ConfigError for anything that cannot be replayed.
    """
    import pandas as pd

    addresses, size = _addresses(addresses_bytes), _size(bytes_per_request)
    if not isinstance(write, bool | np.bool_):
        raise ConfigError(f"write = {write!r}: need True or False")
    times = dram_times(load_dram(preset))
    at_ps = _issue_ps(issue, addresses.size)
    order = np.argsort(at_ps, kind="stable")
    memory = idle_memory(times, n_transfers=addresses.size, ports=0, period_ps=1, word_bytes=1)
    submit_all(memory, times, addresses[order], size, bool(write), at_ps[order])
    finished: I64 = np.zeros(addresses.size, np.int64)
    done = 0
    while done < addresses.size:
        done += advance(memory, times, FOREVER_PS, finished)[0]
    # The memory serves requests by issue time; its transfers return to the order given.
    transfers = memory.transfers[np.argsort(order, kind="stable")]
    return pd.DataFrame(
        {
            "issue_ns": (transfers[:, ENTERED_PS] if isinstance(issue, str) else at_ps) / PS_PER_NS,
            "finish_ns": transfers[:, FINISH_PS] / PS_PER_NS,
            "row_hit": transfers[:, ROW_HIT].astype(bool),
        }
    )


def _addresses(values: Any) -> I64:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ConfigError("addresses_bytes: need a list of whole numbers >= 0") from None
    if array.ndim != 1 or not (array.size == 0 or np.issubdtype(array.dtype, np.integer)):
        raise ConfigError("addresses_bytes: need a list of whole numbers >= 0")
    if array.size == 0:
        raise ConfigError("addresses_bytes is empty: need at least one address")
    if array.min() < 0 or array.max() > MAX_VALUE:
        wrong = array[(array < 0) | (array > MAX_VALUE)][0]
        raise ConfigError(f"addresses_bytes has {wrong}: need whole numbers from 0 to {MAX_VALUE}")
    return array.astype(np.int64)


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 < value <= MAX_REQUEST_BYTES:
        raise ConfigError(f"bytes_per_request = {value!r}: need a whole number from 1 to {MAX_REQUEST_BYTES}")
    return int(value)


def _issue_ps(issue: Any, n: int) -> I64:
    if isinstance(issue, str):
        if issue != "asap":
            raise ConfigError(f"issue = {issue!r}: accepted: 'asap', or a list of times in ns")
        return np.zeros(n, np.int64)
    try:
        times_ns = np.asarray(issue, np.float64)
    except (TypeError, ValueError):
        raise ConfigError("issue: accepted: 'asap', or a list of times in ns") from None
    if times_ns.shape != (n,):
        raise ConfigError(f"issue has shape {times_ns.shape}: need one time in ns for each of {n} addresses")
    if not (np.isfinite(times_ns).all() and (times_ns >= 0).all() and (times_ns <= MAX_VALUE / PS_PER_NS).all()):
        raise ConfigError("issue: need finite times in ns, >= 0")
    return np.round(times_ns * PS_PER_NS).astype(np.int64)
