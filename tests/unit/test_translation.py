"""Encoder, attention decoder and its feedback, against a torch network of the same weights."""

import io
from dataclasses import replace

import pytest
import torch
from harness import make_network, make_stack, make_tokens, make_translator

import archsim
from archsim.errors import ArchsimError
from archsim.ir.network import Embedding
from archsim.ir.text import Subwords

WIDTH, UNITS, TOKENS, DEPTH = 6, 8, 27, 2
TEXTS = ["ein hund rennt .", "zwei hunde rennen im schnee .", "ein mann und ein hund ."]


@pytest.fixture(scope="module")
def subwords():
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20), model_writer=model, vocab_size=TOKENS, minloglevel=2
    )
    return Subwords(model.getvalue())


@pytest.fixture(scope="module")
def network(subwords):
    """Return a random translator of texts with 2 + 2 LSTM layers."""
    tiny = make_translator(width=WIDTH, units=UNITS, depth=DEPTH, tokens=TOKENS, seed=15)
    return replace(tiny, name="tiny", embedding=Embedding(tiny.embedding.table, subwords), metric="bleu")


def torch_stack(layers):
    module = torch.nn.LSTM(layers[0].input_size, UNITS, len(layers))
    with torch.no_grad():
        for depth, layer in enumerate(layers):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(module, f"{name}_l{depth}").copy_(torch.tensor(getattr(layer.directions[0], name)))
    return module


@torch.no_grad()
def torch_greedy(network, source):
    """Return the token ids of one greedy translation, the end token included."""
    head, table = network.head, torch.tensor(network.embedding.table)
    memory, state = torch_stack(network.encoder)(table[torch.tensor(source)])
    decoder, token, tokens = torch_stack(network.decoder), head.start, []
    while token != head.end and len(tokens) < head.step_limit(len(source)):
        top, state = decoder(table[[token]], state)
        scores = memory @ (torch.tensor(head.attention) @ top[0])
        joint = torch.cat([scores.softmax(0) @ memory, top[0]])
        attended = torch.tanh(torch.tensor(head.combine_weight) @ joint + torch.tensor(head.combine_bias))
        token = int((table @ attended + torch.tensor(head.output_bias)).argmax())
        tokens.append(token)
    return tokens


def test_greedy_translation_equals_torch(network, subwords):
    trace = archsim.Trace.from_texts(TEXTS, TEXTS)
    result = archsim.simulate(network, trace, policy="none", precision="fp32")
    expected = [torch_greedy(network, subwords.encode(text)) for text in TEXTS]
    kept = [[token for token in tokens if token != subwords.end] for tokens in expected]
    assert result.predictions == [subwords.decode(tokens) for tokens in kept]
    assert [len(top) for top in result.outputs] == [len(tokens) for tokens in expected]
    assert result.activity.steps(result.activity.shape(DEPTH, 0)) == [len(tokens) for tokens in expected]


def test_translation_is_the_same_alone_and_in_a_batch(network):
    """Sentences end at different steps; each is decoded to the same bits."""
    together = archsim.simulate(network, archsim.Trace.from_texts(TEXTS), threshold=0.6)
    for index, text in enumerate(TEXTS):
        alone = archsim.simulate(network, archsim.Trace.from_texts([text]), threshold=0.6)
        assert alone.predictions[0] == together.predictions[index]
        assert alone.outputs[0].tobytes() == together.outputs[index].tobytes()
        for layer in range(2 * DEPTH):
            ours, theirs = (r.activity.pass_bits(i, layer, 0) for r, i in ((alone, 0), (together, index)))
            assert ours.tobytes() == theirs.tobytes()


def test_baseline_of_a_translation_is_decoded_without_reuse(network):
    """Reuse may change a word and so the length of an answer."""
    reusing = archsim.simulate(network, archsim.Trace.from_texts(TEXTS, TEXTS), threshold=3.0)
    plain = archsim.simulate(network, archsim.Trace.from_texts(TEXTS, TEXTS), policy="none")
    assert reusing.record["reuse_fraction"] > 0.3 and reusing.predictions != plain.predictions
    assert reusing.record["steps"] != plain.record["steps"]
    assert reusing.record["baseline_cycles"] == plain.record["cycles"]
    assert reusing.record["metric_baseline"] == plain.record["metric_value"]


def test_details_agree_on_translation_and_head_figures(network):
    block, neuron = (
        archsim.simulate(network, archsim.Trace.from_texts(TEXTS), threshold=0.6, detail=detail).record
        for detail in ("block", "neuron")
    )
    for key in ("cycles", "energy_j", "head_time_s", "head_energy_j", "head_macs"):
        assert block[key] == pytest.approx(neuron[key], rel=1e-12)
    assert block["head_time_s"] > 0 and block["head_macs"] > 0


def test_attention_head_macs_equal_hand_arithmetic(network, subwords):
    """Per decoder step, with S encoded steps: q H·H, scores S·H, context H·S, combine I·2H, output V·I."""
    result = archsim.simulate(network, archsim.Trace.from_texts(TEXTS), policy="none")
    expected = 0
    for text, top in zip(TEXTS, result.outputs, strict=True):
        source = subwords.encode(text).size
        step = UNITS * UNITS + 2 * source * UNITS + WIDTH * 2 * UNITS + TOKENS * WIDTH
        expected += len(top) * step
    assert result.record["head_macs"] == expected


def test_decoder_layers_that_do_not_fit_together_stream_weights(network):
    """The layers alternate at every step; each keeps its share on chip and fetches the rest in every step."""
    one_layer = UNITS * (UNITS + UNITS) * 2
    arch = archsim.load_arch("epur").replace("weight_buffer.capacity_bytes", one_layer)
    trace = archsim.Trace.from_texts(TEXTS)
    streams, fits = (archsim.simulate(network, trace, machine, threshold=0.5) for machine in (arch, "epur"))
    assert streams.record["dram_bytes"] > fits.record["dram_bytes"]
    assert streams.record["cycles"] > fits.record["cycles"]
    with pytest.raises(ArchsimError, match=r"tiny, l\d needs weight_buffer.capacity_bytes >= \d+ bytes"):
        archsim.simulate(network, trace, arch.replace("weight_buffer.capacity_bytes", 50), threshold=0.5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"head": None, "metric": None}, "a decoder needs layers, an embedding and a head"),
        ({"decoder_depth": 1}, "l0 takes 6 inputs, l1 gives 8"),
        ({"decoder_depth": 4}, "no recurrent layer to encode with"),
        ({"metric": "accuracy"}, "metric = 'accuracy': accepted with this head: bleu, wer"),
        ({"embedding": None}, "a decoder needs layers, an embedding"),
    ],
)
def test_decoder_parts_that_do_not_fit_are_refused(network, change, message):
    with pytest.raises(ArchsimError, match=message):
        replace(network, **change)


def test_bidirectional_encoder_of_a_decoder_is_refused(network):
    """A decoder layer starts from the state of one encoder layer, so there is none for a second direction."""
    wide = make_stack("lstm", inputs=WIDTH, units=UNITS, bidirectional=True)
    deep = (*wide, *make_stack("lstm", inputs=WIDTH, units=UNITS, layers=2))
    with pytest.raises(ArchsimError, match="need the same .cell, units, outputs., one direction each"):
        replace(network, layers=deep, decoder_depth=2)


def test_bleu_without_subwords_is_refused(network):
    with pytest.raises(ArchsimError, match="metric 'bleu' needs subwords to write texts with"):
        replace(network, embedding=Embedding(network.embedding.table))
    silent = replace(network, embedding=Embedding(network.embedding.table), metric=None)
    assert archsim.simulate(silent, make_tokens(silent, (4,)), policy="none").predictions is None


def test_embeddings_beyond_binary16_are_refused(network):
    table = network.embedding.table.copy()
    table[1] = 1e6
    big = replace(network, embedding=Embedding(table), metric=None)
    with pytest.raises(ArchsimError, match="embedding holds 1e.06, binary16 ends at 65504"):
        archsim.simulate(big, make_tokens(network, (4,)), policy="none")


def test_target_of_a_wrong_type_is_refused(network):
    with pytest.raises(ArchsimError, match="target 3 of sequence 0: metric bleu of tiny needs a text"):
        archsim.simulate(network, archsim.Trace.from_texts(["ein hund ."], [3]), policy="none")


def test_invalid_subword_model_is_refused():
    for model in (b"", b"not a model", b"\x0a\xff\xff\xff\xff\x0f" * 9):
        with pytest.raises(ArchsimError, match="sentencepiece"):
            Subwords(model)


def test_network_without_decoder_has_empty_decoder():
    assert make_network("gru", inputs=3, units=2).decoder == ()
