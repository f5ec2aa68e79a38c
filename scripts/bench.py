"""How long archsim takes next to plain torch inference, as ratios within one run.

python scripts/bench.py --json bench.json
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import torch

import archsim
from archsim.cli.exit import exit_code
from archsim.files import write_whole
from archsim.functional.run import run_functional
from archsim.ir.network import Scales
from archsim.policies import policy_from
from archsim.sim.accelerator import simulate_activity

THETA = 0.3


def best_of(repeats: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs; the first one, which compiles, does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Time each stage on one BiLSTM layer and print it as a multiple of torch's time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--inputs", type=int, default=640)
    parser.add_argument("--units", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures to a file")
    args = parser.parse_args()

    torch.manual_seed(0)
    module = torch.nn.LSTM(args.inputs, args.units, bidirectional=True)
    network = replace(archsim.from_torch(module), scales=Scales((0.8,), ((0.1, 0.1),)))
    x = torch.randn(args.steps, args.sequences, args.inputs)
    trace = archsim.Trace.from_arrays(list(x.numpy().transpose(1, 0, 2)))
    bnn = policy_from("bnn")

    def functional(policy: str) -> object:
        return run_functional(network, trace, policy_from(policy), THETA, precision="fp32")

    activity = run_functional(network, trace, bnn, THETA, precision="fp32").activity
    with torch.no_grad():
        torch_s = best_of(args.repeats, lambda: module(x))
    stages = {
        "functional pass, none": lambda: functional("none"),
        "functional pass, bnn": lambda: functional("bnn"),
        "functional pass, ternary": lambda: functional("ternary"),
        "functional pass, lowbit": lambda: functional("lowbit"),
        "event simulation, block": lambda: simulate_activity(network, activity, archsim.load_arch("epur")),
        "simulate, bnn": lambda: archsim.simulate(network, trace, threshold=THETA, precision="fp32"),
    }
    ratios = {name: best_of(args.repeats, work) / torch_s for name, work in stages.items()}
    versions = {"python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__}
    versions |= {"torch": torch.__version__, "archsim": archsim.__version__, "machine": platform.processor()}
    print(f"times of torch's nn.LSTM ({args.sequences} x {args.steps} steps, 2 x {args.units} units)")
    for name, ratio in ratios.items():
        print(f"{name:28} {ratio:7.2f}")
    if args.json:
        with write_whole(args.json) as path:
            path.write_text(json.dumps({"ratios": ratios, "versions": versions, "arguments": vars(args)}, default=str))


if __name__ == "__main__":
    sys.exit(exit_code(main, "bench"))
