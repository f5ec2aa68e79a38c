"""Training under reuse: outputs and decisions of the simulator, and the gradient of what was computed."""

import subprocess
import sys

import numpy as np
import pytest

import archsim
from archsim.errors import ConfigError, NetworkError, TraceError
from archsim.ir.network import Scales

torch = pytest.importorskip("torch")

from harness_torch import KINDS  # noqa: E402

from archsim.finetune import ReuseRNN  # noqa: E402

LENGTHS = (4, 23, 1, 17, 23)
SHAPES = [(1, False), (2, True)]


def drifting(inputs, seed=0):
    """Return padded slow random walks (T, B, I), so that there is something to reuse."""
    torch.manual_seed(seed)
    return 0.3 * torch.randn(max(LENGTHS), len(LENGTHS), inputs).cumsum(0)


def module_of(kind, layers=1, bidirectional=False, **options):
    torch.manual_seed(5)
    return KINDS[kind](7, 6, layers, bidirectional=bidirectional, **options)


def scales_of(module):
    sides = 1 + module.bidirectional
    return Scales((0.6,) * module.num_layers, ((0.3,) * sides,) * module.num_layers)


@pytest.mark.parametrize("policy", ["bnn", "ternary", "lowbit:bits=3,throttle=off", "oracle", "bnn:guard=5", "none"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers, bidirectional", SHAPES)
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_training_outputs_and_decisions_equal_the_simulator(policy, kind, layers, bidirectional, precision):
    """They are equal bit for bit, for sequences of any order and length."""
    module, x, theta = module_of(kind, layers, bidirectional), drifting(7), 0.5
    rnn = ReuseRNN(module, policy=policy, threshold=theta, scales=scales_of(module), precision=precision)
    run = rnn.run(x, LENGTHS)
    trace = archsim.Trace.from_arrays([x[:t, b].numpy() for b, t in enumerate(LENGTHS)])
    network = rnn.passes().network
    expected = archsim.simulate(
        network, trace, policy=policy, threshold=None if policy == "none" else theta, precision=precision
    )
    for b, t in enumerate(LENGTHS):
        assert np.array_equal(run.outputs[:t, b].detach().numpy(), expected.outputs[b])
        assert not run.outputs[t:, b].any()
    for place, sequences in expected.activity.bits.items():
        for ours, theirs in zip(run.activity.bits[place], sequences, strict=True):
            assert np.array_equal(ours, theirs)
    assert run.reuse_fraction == expected.record["reuse_fraction"]
    assert (run.reuse_fraction > 0.02) == (policy != "none")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers, bidirectional", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradient_without_reuse_equal_torch(kind, layers, bidirectional, bias):
    module, x = module_of(kind, layers, bidirectional, bias=bias), drifting(7).requires_grad_()
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0])
    outputs = ReuseRNN(module, policy="none", precision="fp32")(x, torch.tensor(LENGTHS))
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=0)
    weights, parameters = torch.randn_like(expected) / expected.numel() ** 0.5, [x, *module.parameters()]
    ours, theirs = (torch.autograd.grad((y * weights).sum(), parameters) for y in (outputs, expected))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def rounded(values, fp16):
    return values + (values.half().float() - values).detach() if fp16 else values


def written_out(kind, module, x, reused, fp16):
    """Run one sequence (T, I) through one layer in plain torch; products are kept where `reused` (T, G, H)."""
    H = module.hidden_size
    w_ih, w_hh = rounded(module.weight_ih_l0, fp16), rounded(module.weight_hh_l0, fp16)
    h, c, memo, outputs = torch.zeros(H), torch.zeros(H), None, []
    for step, kept in zip(rounded(x, fp16), torch.from_numpy(reused), strict=True):
        product_x, product_h, kept = w_ih @ step, w_hh @ h, kept.flatten()
        if kind != "GRU":
            fresh = product_x + product_h
        else:
            fresh = torch.cat([product_x[: 2 * H] + product_h[: 2 * H], product_x[2 * H :], product_h[2 * H :]])
            kept = torch.cat([kept, kept[2 * H :]])
        used = fresh if memo is None else torch.where(kept, memo, fresh)
        memo = rounded(fresh, fp16) if memo is None else torch.where(kept, memo, rounded(fresh, fp16))
        if kind == "LSTM":
            i, f, g, o = (used + module.bias_ih_l0 + module.bias_hh_l0).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        elif kind != "GRU":
            h = used + module.bias_ih_l0 + module.bias_hh_l0
            h = h.relu() if module.nonlinearity == "relu" else h.tanh()
        else:
            r, z, y_x, y_h = used.chunk(4)
            (b_r, b_z, b_x), (c_r, c_z, b_h) = module.bias_ih_l0.chunk(3), module.bias_hh_l0.chunk(3)
            z = (z + b_z + c_z).sigmoid()
            h = (1 - z) * (y_x + b_x + (r + b_r + c_r).sigmoid() * (y_h + b_h)).tanh() + z * h
        h = rounded(h, fp16)
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize("precision, close", [("fp32", 1e-5), ("fp16", 1e-3)])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_under_reuse_equals_plain_torch_autograd(kind, precision, close):
    """For inputs and all weights; a reused product passes its gradient to the step that evaluated it."""
    module, x = module_of(kind), drifting(7).requires_grad_()
    run = ReuseRNN(module, policy="oracle", threshold=0.4, precision=precision).run(x, LENGTHS)
    assert 0.2 < run.reuse_fraction < 0.9
    weights = torch.randn_like(run.outputs)
    loss = (run.outputs * weights).sum()
    expected = sum(
        (written_out(kind, module, x[:t, b], run.activity.reused(b, 0, 0), precision == "fp16") * weights[:t, b]).sum()
        for b, t in enumerate(LENGTHS)
    )
    torch.testing.assert_close(loss, expected, atol=20 * close, rtol=0)
    parameters = [x, *module.parameters()]
    ours, theirs = (torch.autograd.grad(value, parameters) for value in (loss, expected))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=20 * close, rtol=20 * close)


def test_changed_weights_are_packed_again_at_the_next_call():
    module, x = module_of("LSTM"), drifting(7)
    rnn = ReuseRNN(module, policy="bnn", threshold=0.5)
    before = rnn.run(x, LENGTHS)
    with torch.no_grad():
        module.weight_ih_l0.neg_()
    after, fresh = rnn.run(x, LENGTHS), ReuseRNN(module, policy="bnn", threshold=0.5).run(x, LENGTHS)
    assert torch.equal(after.outputs, fresh.outputs) and after.reuse_fraction == fresh.reuse_fraction
    assert after.reuse_fraction != before.reuse_fraction


def test_batch_first_stack_of_modules_equals_torch():
    first, second = module_of("GRU", batch_first=True), torch.nn.LSTM(6, 4, batch_first=True)
    x = drifting(7)
    outputs = ReuseRNN(first, second, policy="none", precision="fp32")(x.transpose(0, 1))
    torch.testing.assert_close(outputs, second(first(x.transpose(0, 1))[0])[0], atol=1e-5, rtol=0)


def test_training_against_unsteadiness_raises_reuse():
    module, x = module_of("LSTM", 2, True), drifting(7)
    rnn = ReuseRNN(module, policy="oracle", threshold=0.3)
    optimiser, before = torch.optim.Adam(module.parameters(), 1e-2), rnn.run(x, LENGTHS, half_at=0.3)
    for _ in range(20):
        optimiser.zero_grad()
        rnn.run(x, LENGTHS, half_at=0.3).unsteadiness.backward()
        optimiser.step()
    after = rnn.run(x, LENGTHS, half_at=0.3)
    assert after.unsteadiness < before.unsteadiness and after.reuse_fraction > before.reuse_fraction
    assert ReuseRNN(module).run(x[:1], half_at=0.3).unsteadiness == 0


@pytest.mark.parametrize("make, error, message", [
    (lambda: ReuseRNN(torch.nn.Linear(3, 4)), NetworkError, "Linear is not supported"),
    (lambda: ReuseRNN(module_of("LSTM", 2, dropout=0.1)), ConfigError, "dropout = 0"),
    (lambda: ReuseRNN(module_of("GRU").double()), ConfigError, "not float32"),
    (lambda: ReuseRNN(module_of("GRU"), module_of("LSTM", batch_first=True)), ConfigError, "batch_first"),
    (lambda: ReuseRNN(module_of("GRU"), module_of("GRU")), NetworkError, "takes 7 inputs"),
    (lambda: ReuseRNN(), NetworkError, "no recurrent layer"),
    (lambda: ReuseRNN(module_of("GRU"), policy="lowbit"), ConfigError, "no scales"),
    (lambda: ReuseRNN(module_of("GRU"), policy="bnnn"), archsim.ArchsimError, "did you mean 'bnn'"),
    (lambda: ReuseRNN(module_of("GRU"), threshold=-1.0), ConfigError, "threshold = -1.0"),
    (lambda: ReuseRNN(module_of("GRU"), precision="fp8"), ConfigError, "accepted: fp16, fp32"),
])  # fmt: skip
def test_invalid_module_or_option_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("x, lengths, message", [
    (torch.zeros(4, 2, 6), None, "need float32 of"),
    (torch.zeros(4, 2, 7).double(), None, "float64"),
    (torch.zeros(4, 7), None, "need float32 of"),
    (torch.zeros(4, 2, 7), (4, 5), "from 1 to 4"),
    (torch.zeros(4, 2, 7), (0, 2), "from 1 to 4"),
    (torch.zeros(4, 2, 7), (3,), "need 2 whole numbers"),
    (torch.full((4, 2, 7), 7e4), None, "binary16 ends at 65504"),
])  # fmt: skip
def test_invalid_inputs_are_refused(x, lengths, message):
    with pytest.raises(TraceError, match=message):
        ReuseRNN(module_of("GRU"))(x, lengths)


def test_missing_torch_is_refused_with_the_package_to_install():
    code = "import sys; sys.modules['torch'] = None\nimport archsim\ntry:\n    import archsim.finetune\n"
    code += "except archsim.ArchsimError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("pip install 'archsim[train]'")
