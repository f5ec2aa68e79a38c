"""A list of addresses put to the main memory by itself."""

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
LARGEST = 1 << 48
"""Bytes of address, or picoseconds: beyond any memory, and far from overflow."""
LARGEST_REQUEST = 1 << 30


def replay_dram(
    addresses_bytes: Sequence[int] | I64,
    preset: str = "lpddr4-3200-x32",
    bytes_per_request: int = 64,
    issue: str | Sequence[float] = "asap",
    write: bool = False,
) -> pd.DataFrame:
    """Replay reads or writes on a main memory: when each was issued and finished, and whether it met its row open.

    issue: "asap", each as soon as the scheduler's queue has a place; or a time in ns per address, in which case
    a request that finds the queue full waits, and its wait counts. One row per address, in the order given:
    issue_ns, finish_ns float, row_hit bool. Raises ConfigError for anything that cannot be replayed.
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
    asked = memory.transfers[np.argsort(order, kind="stable")]
    return pd.DataFrame(
        {
            "issue_ns": (asked[:, ENTERED_PS] if isinstance(issue, str) else at_ps) / PS_PER_NS,
            "finish_ns": asked[:, FINISH_PS] / PS_PER_NS,
            "row_hit": asked[:, ROW_HIT].astype(bool),
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
    if array.min() < 0 or array.max() > LARGEST:
        wrong = array[(array < 0) | (array > LARGEST)][0]
        raise ConfigError(f"addresses_bytes has {wrong}: need whole numbers from 0 to {LARGEST}")
    return array.astype(np.int64)


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 < value <= LARGEST_REQUEST:
        raise ConfigError(f"bytes_per_request = {value!r}: need a whole number from 1 to {LARGEST_REQUEST}")
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
    if not (np.isfinite(times_ns).all() and (times_ns >= 0).all() and (times_ns <= LARGEST / PS_PER_NS).all()):
        raise ConfigError("issue: need finite times in ns, >= 0")
    return np.round(times_ns * PS_PER_NS).astype(np.int64)
