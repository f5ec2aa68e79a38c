"""Compare three policies on one network and one trace: results of reuse, and energy by component.

python scripts/simulate.py --network imdb-lstm --limit 40
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd

import archsim
from archsim.cli.exit import exit_code
from archsim.corpora.catalogue import trace_of


def main() -> None:
    """Print one row per policy, and the energy by component for the binary predictor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="imdb-lstm")
    parser.add_argument("--trace", help="default: the network's own")
    parser.add_argument("--threshold", type=float, help="default: the calibrated one of each policy")
    parser.add_argument("--arch", default="epur")
    parser.add_argument("--limit", type=int, help="use only the first so many sequences")
    args = parser.parse_args()

    network = archsim.load_network(args.network)
    trace = (archsim.load_trace(args.trace) if args.trace else trace_of(network)).limit(args.limit)
    results = {
        policy: archsim.simulate(network, trace, arch=args.arch, policy=policy, threshold=args.threshold)
        for policy in ("none", "bnn", "oracle")
    }

    table = pd.DataFrame({policy: result.summary() for policy, result in results.items()}).T
    print(
        table[
            ["threshold", "reuse_fraction", "metric_value", "output_change", "cycles", "speedup", "energy_saving"]
        ].to_string()
    )
    print("\nenergy of bnn by component, in joules")
    print(results["bnn"].energy.groupby("component")["joules"].sum().sort_values(ascending=False).to_string())


if __name__ == "__main__":
    sys.exit(exit_code(main, "simulate"))
