"""The low-bit tail of SEMANTICS 1.4, written out naively: one number at a time, sums in Python's integers."""

import numpy as np

F = np.float32


def naive_rho(weights):
    return np.array([np.sqrt(weights.shape[1] * np.mean(column.astype(float) ** 2)) for column in weights.T], F)


def naive_codes(weights, rho, bits):
    """Return the odd codes of each row of W/ρ and its level spacing, one number at a time."""
    codes, spacings = [], []
    for row in weights:
        shares = [F(w) / r if r > 0 else F(0) for w, r in zip(row, rho, strict=True)]
        if bits <= 2:
            spacing = F({1: 2, 2: 1}[bits]) * F(np.mean([abs(float(share)) for share in shares]))
        else:
            spacing = F(2) * max(map(abs, shares)) / F(2**bits - 1)
        spacing = max(spacing, F(2.0**-126))
        levels = (int(np.floor(share / spacing)) for share in shares)
        codes.append([2 * min(max(level, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1) + 1 for level in levels])
        spacings.append(spacing)
    return codes, spacings


def naive_remainders(moves, rho, theta, bits):
    """Return the codes a of what has not entered, as Python's integers."""
    largest = max(1, 2 ** (bits - 1) - 1)
    per_unit = F(largest) / F(theta) if theta else F(0)
    return [int(np.rint(F(F(move * weight) * per_unit))) for move, weight in zip(moves, rho, strict=True)]


def naive_tail(codes, spacings, remainders, theta, bits):
    """Return κ·T of each row, float32."""
    largest = max(1, 2 ** (bits - 1) - 1)
    sums = [sum(q * a for q, a in zip(row, remainders, strict=True)) for row in codes]
    values = [F(float(F(theta)) * float(spacing) / (2 * largest)) for spacing in spacings]
    return np.array([value * F(total) for value, total in zip(values, sums, strict=True)], F)
