"""Sweep θ and the latency of the memoization unit; one CSV row a point.

python scripts/sweep.py --limit 40 -o sweep.csv
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import pandas as pd

import archsim
from archsim.cli.exit import exit_code
from archsim.corpora.catalogue import trace_of
from archsim.files import check_writable, write_whole


def main() -> None:
    """Simulate every combination and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="imdb-lstm")
    parser.add_argument("--trace", help="default: the network's own")
    parser.add_argument("--policies", nargs="+", default=["bnn", "oracle"])
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.1, 0.2, 0.4, 0.8, 1.6])
    parser.add_argument("--fmu-latencies", nargs="+", type=int, default=[5])
    parser.add_argument("--limit", type=int, help="use only the first so many sequences")
    parser.add_argument("-o", "--output", required=True, help="CSV file")
    args = parser.parse_args()

    check_writable(Path(args.output))
    network = archsim.load_network(args.network)
    trace = (archsim.load_trace(args.trace) if args.trace else trace_of(network)).limit(args.limit)
    rows = []
    for policy, theta, latency in itertools.product(args.policies, args.thresholds, args.fmu_latencies):
        arch = archsim.load_arch("epur").replace("fmu.latency_cycles", latency)
        result = archsim.simulate(network, trace, arch=arch, policy=policy, threshold=theta, keep_outputs=False)
        rows.append(result.record | {"arch.fmu.latency_cycles": latency})
        print(f"{policy} θ={theta:g} latency={latency}: reuse {rows[-1]['reuse_fraction']:.3f}")
    with write_whole(args.output) as path:
        pd.DataFrame(rows).to_csv(path, index=False)


if __name__ == "__main__":
    sys.exit(exit_code(main, "sweep"))
