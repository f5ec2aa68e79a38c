"""Fit the rational polynomial of archsim/kernels/numerics/activation.py and print its coefficients.

The fit is a weighted least squares on Chebyshev points, re-weighted towards the largest relative error (Lawson's
method).
"""

from __future__ import annotations

import argparse

import numpy as np

LIMIT, DEGREE, ROUNDS = 9.0, 4, 60


def main() -> None:
    """Print P, Q and the largest relative error of x·P(x²)/Q(x²) against tanh."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    angles = np.pi * (np.arange(4000) + 0.5) / 4000
    x = np.concatenate([LIMIT * (0.5 - 0.5 * np.cos(angles)), np.geomspace(1e-3, LIMIT, 2000)])
    powers = ((x / LIMIT) ** 2)[:, None] ** np.arange(DEGREE + 1)
    target = np.tanh(x) / x
    weight, q_values = np.ones_like(x), np.ones_like(x)
    for _ in range(ROUNDS):
        row_weight = weight / (np.abs(q_values) * target)
        system = np.hstack([powers, -target[:, None] * powers[:, 1:]]) * row_weight[:, None]
        solution = np.linalg.lstsq(system, target * row_weight, rcond=None)[0]
        p, q = solution[: DEGREE + 1], np.concatenate([[1.0], solution[DEGREE + 1 :]])
        q_values = powers @ q
        error = np.abs(powers @ p / q_values / target - 1)
        weight *= 0.3 + error / error.max()
        weight /= weight.max()
    scale = LIMIT ** (2 * np.arange(DEGREE + 1))
    print("P", *(p / scale), "\nQ", *(q / scale), "\nlargest relative error", error.max())


if __name__ == "__main__":
    main()
