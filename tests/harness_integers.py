"""SEMANTICS 1.2 in integers, written out naively: one sequence, one step and one layer at a time, without batches."""

import numpy as np
from harness_tail import naive_codes, naive_remainders, naive_tail

from archsim.kernels.numerics.activation import gate, tanh

F = np.float32
CODES = {"int8": 127, "int4": 7}
EMPTY = np.zeros((0, 0), np.float32)


def spacing_of(largest, code):
    spacing = F(largest) / F(code)
    return spacing if spacing > 0 else F(1)


def codes_of(values, spacing, code=127):
    return np.clip(np.rint(np.asarray(values, F) / spacing), -code, code).astype(np.int64)


def rows_of(weights, code):
    """Return codes of rows, and the spacing of each."""
    spacings = [spacing_of(np.abs(row).max(), code) for row in weights]
    return np.stack([codes_of(row, s, code) for row, s in zip(weights, spacings, strict=True)]), np.array(spacings, F)


def term(sums, spacings, input_spacing):
    """Return spacings times sums, rounded once to float32."""
    return (spacings.astype(float) * float(input_spacing) * sums).astype(F)


def sign(values):
    return np.where(np.asarray(values) >= 0, 1, -1)


def change_of(now, before):
    """Return ε of SEMANTICS 1.4, in float32."""
    if now == before:
        return F(0)
    with np.errstate(divide="ignore"):
        return abs(F(now) - F(before)) / abs(F(now))


class NaivePass:
    """One (layer, direction) of one sequence under `none`, `bnn`, `oracle`, `delta` or `input-similarity`.

    `bnn` may be centred, the last two weighted, `delta` then with a tail.
    """

    def __init__(self, layer, direction, code, largest, policy, theta, means=None):
        self.layer, self.direction, self.theta = layer, direction, F(theta)
        self.policy, _, option = policy.partition(":")
        option, _, tail_bits = option.partition(",tail=")
        self.means = np.array(means, F) if option == "centre=on" else np.zeros(layer.input_size, F)
        self.s_x, self.s_h = (spacing_of(value, 127) for value in largest)
        self.W, self.s_w = rows_of(direction.weight_ih, code)
        self.R, self.s_r = rows_of(direction.weight_hh, code)
        self.projection = None if direction.weight_hr is None else rows_of(direction.weight_hr, code)
        self.rho = np.ones(layer.joint_size, F)
        if option == "weighted=on":
            rows = np.hstack([self.W.astype(F) * self.s_w[:, None], self.R.astype(F) * self.s_r[:, None]])
            self.rho = np.sqrt(layer.joint_size * (rows.astype(float) ** 2).mean(axis=0)).astype(F)
        self.tail_bits = int(tail_bits or 0)
        if self.tail_bits:
            self.tail_codes = naive_codes(rows, self.rho, self.tail_bits)
        self.memo, self.delta, self.predicted = {}, {}, {}
        self.products = []

    def run(self, inputs):
        """Return outputs (T, R); keep decisions (T, G·H, or N for policies of columns), products and c of the pass."""
        layer = self.layer
        self.q_h, self.c = np.zeros(layer.recurrent_size, np.int64), np.zeros(layer.hidden_size, F)
        self.sent = np.zeros(layer.joint_size, F)
        outputs, decisions = [], []
        for t, x in enumerate(inputs[::-1] if self.direction.reverse else inputs):
            q_x = codes_of(x, self.s_x)
            q_h, skips = self._columns(t, q_x) if self.policy in ("delta", "input-similarity") else (self.q_h, None)
            q_x = codes_of(self.sent[: layer.input_size], self.s_x) if skips is not None else q_x
            h, reused = self._step(t, q_x, q_h)
            self.q_h = codes_of(h, self.s_h)
            outputs.append(self.q_h.astype(F) * self.s_h)
            decisions.append(reused if skips is None else skips)
        self.decisions = np.array(decisions)
        return np.array(outputs[::-1] if self.direction.reverse else outputs)

    def _columns(self, t, q_x):
        """Update the values that have been sent, and return the codes of h among them, and what was skipped."""
        n = self.layer.input_size
        spacings = np.concatenate([np.full(n, self.s_x), np.full(self.layer.recurrent_size, self.s_h)])
        values = np.concatenate([q_x, self.q_h]).astype(F) * spacings
        if self.policy == "input-similarity" and self.theta:
            steps = self.theta / self.rho
            values = np.rint(values / steps) * steps
        values = codes_of(values, spacings).astype(F) * spacings
        moved = np.abs(values - self.sent) * self.rho
        still = moved <= self.theta if self.policy == "delta" else values == self.sent
        still = still if t else np.zeros_like(still)
        self.sent = np.where(still, self.sent, values)
        if self.tail_bits:
            self.remainders = naive_remainders(values - self.sent, self.rho, self.theta, self.tail_bits)
        return codes_of(self.sent[n:], self.s_h), still

    def _step(self, t, q_x, q_h):
        cell, H = self.layer.cell, self.layer.hidden_size
        y_x = term(self.W @ q_x, self.s_w, self.s_x).reshape(-1, H)
        y_h = term(self.R @ q_h, self.s_r, self.s_h).reshape(-1, H)
        b_x, b_h = self.direction.bias_ih.reshape(-1, H), self.direction.bias_hh.reshape(-1, H)
        of_x, of_h, of_both = self._tails(cell.n_gates, H)
        reused = np.zeros((cell.n_gates, H), bool)
        kept, computed, slope = {}, {}, cell.gate_activation.slope
        split = cell.name.startswith("gru") and not cell.resets_before

        def sigma(v):
            return F(gate(F(v), F(slope)))

        def product(k, n, own_h=None):
            """Return the parts of a product after reuse: two for the candidate of a GRU, else one."""
            if own_h is None:
                own_h = q_h
            h_part = y_h[k, n] if own_h is q_h else term(self.R[k * H + n] @ own_h, self.s_r[k * H + n], self.s_h)
            sums = (y_x[k, n], h_part) if split and k == 2 else (y_x[k, n] + h_part,)
            tails = (of_x[k, n], of_h[k, n]) if split and k == 2 else (of_both[k, n],)
            parts = tuple(a + b for a, b in zip(sums, tails, strict=True)) if self.tail_bits else sums
            computed[k, n] = parts
            reused[k, n] = self._reuses(t, (k, n), parts, q_x, own_h)
            if reused[k, n]:
                return self.memo[k, n]
            self.memo[k, n] = tuple(F(np.float16(part)) for part in parts)
            return parts

        h_before = self.q_h.astype(F) * self.s_h
        for k in range(cell.n_gates - cell.resets_before):
            for n in range(H):
                kept[k, n] = product(k, n)
        if cell.resets_before:
            r = [sigma(kept[0, n][0] + (b_x + b_h)[0, n]) for n in range(H)]
            q_reset = codes_of(np.array(r, F) * h_before, self.s_h)
            for n in range(H):
                kept[2, n] = product(2, n, q_reset)
        of_gates = [zip(*(computed[k, n] for n in range(H)), strict=True) for k in range(cell.n_gates)]
        self.products.append(np.array([part for parts in of_gates for part in parts], F))
        bias, h, c = b_x + b_h, np.zeros(H, F), self.c
        for n in range(H):
            v = [kept[k, n][0] + bias[k, n] for k in range(cell.n_gates)]
            if cell.name == "rnn":
                h[n] = tanh(v[0])
            elif cell.name == "rnn-relu":
                h[n] = max(F(0), v[0])
            elif cell.name.startswith("gru"):
                candidate = v[2]
                if split:
                    a, b = kept[2, n]
                    candidate = (a + b_x[2, n]) + sigma(v[0]) * (b + b_h[2, n])
                z = sigma(v[1])
                h[n] = (F(1) - z) * F(tanh(candidate)) + z * h_before[n]
            else:
                p = self.direction.peepholes
                p_i, p_f, p_o = np.zeros(3, F) if p is None else p.reshape(3, H)[:, n]
                i, f = sigma(v[0] + p_i * c[n]), sigma(v[1] + p_f * c[n])
                c[n] = f * c[n] + i * F(tanh(v[2]))
                h[n] = sigma(v[3] + p_o * c[n]) * F(tanh(c[n]))
        if self.projection is not None:
            q_m = codes_of(h, spacing_of(1, 127))
            h = term(self.projection[0] @ q_m, self.projection[1], spacing_of(1, 127))
        return h, reused.reshape(-1)

    def _tails(self, n_gates, n_units):
        """Return the tail over x, over h, and over both, (3, G, H)."""
        if not self.tail_bits:
            return np.zeros((3, n_gates, n_units), F)
        codes, spacings = self.tail_codes
        is_x = np.arange(self.layer.joint_size) < self.layer.input_size
        parts = [np.where(mask, self.remainders, 0).tolist() for mask in (is_x, ~is_x, True)]
        tails = [naive_tail(codes, spacings, part, self.theta, self.tail_bits) for part in parts]
        return np.array(tails).reshape(3, n_gates, n_units)

    def _reuses(self, t, key, parts, q_x, q_h):
        if self.policy == "oracle":
            now = F(sum(parts[1:], start=parts[0]))
            before = None if t == 0 else F(sum(self.memo[key][1:], start=self.memo[key][0]))
            return t > 0 and change_of(now, before) <= self.theta
        if self.policy != "bnn":
            return False
        row = key[0] * self.layer.hidden_size + key[1]
        of_x = sign(q_x.astype(F) * self.s_x - self.means)
        yb = int(sign(self.W[row]) @ of_x + sign(self.R[row]) @ sign(q_h))
        drift = F(np.inf) if t == 0 else self.delta[key] + change_of(yb, self.predicted[key])
        if drift <= self.theta:
            self.delta[key] = drift
            return True
        self.delta[key], self.predicted[key] = F(0), yb
        return False


def naive_run(network, frames, precision, policy="none", theta=0.0):
    """Return the top layer's outputs of one sequence, and the passes by (layer, direction)."""
    values, passes, scales = frames, {}, network.scales
    for index, layer in enumerate(network.layers):
        sides = []
        for d, direction in enumerate(layer.directions):
            largest = scales.largest_inputs[index], scales.largest_hidden[index][d]
            means = scales.means[index] if scales.means else None
            one = NaivePass(layer, direction, CODES[precision], largest, policy, theta, means)
            passes[index, d] = one
            sides.append(one.run(values))
        values = np.hstack(sides)
    return values, passes
