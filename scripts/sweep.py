"""Sweep θ and the width of the memoization unit from Python, as `archsim sweep` does with a grid file.

python scripts/sweep.py --limit 40 -o sweep
"""

from __future__ import annotations

import argparse
import sys

import archsim
from archsim.cli.exit import exit_code


def main() -> None:
    """Run the grid and print one line per point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["imdb-lstm"])
    parser.add_argument("--policies", nargs="+", default=["bnn", "oracle"])
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.1, 0.2, 0.4, 0.8, 1.6])
    parser.add_argument("--fmu-widths", nargs="+", type=int, default=[2048])
    parser.add_argument("--limit", type=int, default=40, help="use only the first so many sequences")
    parser.add_argument("--jobs", type=int, help="processes; default: one per core")
    parser.add_argument("-o", "--output", required=True, help="folder; points that it already holds are not run again")
    args = parser.parse_args()

    axes = {"network": args.networks, "policy": args.policies, "threshold": args.thresholds}
    grid = {"axes": axes | {"arch.fmu.width_bits": args.fmu_widths}, "fixed": {"limit": args.limit}}
    results = archsim.run_sweep(grid, args.output, jobs=args.jobs).results
    columns = [
        *axes,
        "arch.fmu.width_bits",
        "reuse_fraction",
        "metric_loss",
        "output_change",
        "speedup",
        "energy_saving",
    ]
    print(results[columns].to_string(index=False))


if __name__ == "__main__":
    sys.exit(exit_code(main, "sweep"))
