"""Text as editors of all systems write it: byte order marks, line ends, and a last line without one."""

import pickle
import struct

import numpy as np
import pytest
from malformed.arrays import safetensors, tensor
from malformed.text import MANIFEST, WORDS, write_network

import archsim
from archsim.config.load import load_arch
from archsim.corpora.imdb import imdb_trace
from archsim.corpora.multi30k import multi30k_trace
from archsim.errors import ConfigError, DoesNotFitError, NoSuchPassError, UnknownNameError, UsageError
from archsim.ir.folder import load_network, read_manifest
from archsim.ir.tensors import read_weights
from archsim.reading import MAX_DEPTH, lines_of, parse_toml
from archsim.sweeps.grid import load_grid

BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("text, lines", [
    ("", []), ("\n", [""]), ("a", ["a"]), ("a\n", ["a"]), ("a\nb", ["a", "b"]), ("a\n\n", ["a", ""]),
    ("a\u2028b\u0085c\x0bd\x0ce\x1cf\n", ["a\u2028b\u0085c\x0bd\x0ce\x1cf"]),
])  # fmt: skip
def test_only_a_newline_ends_a_line(text, lines):
    assert lines_of(text) == lines


@pytest.mark.parametrize("mark", [b"", BOM])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_toml_is_read_with_any_byte_order_mark_and_line_end(mark, end, tmp_path):
    def written(name, text):
        (tmp_path / name).write_bytes(mark + text.encode().replace(b"\n", end))
        return tmp_path / name

    assert load_arch(written("m.toml", "[dpu]\nlanes = 8\n")).dpu.lanes == 8
    assert load_grid(written("g.toml", "[axes]\nseed = [1, 2]\n"))[0].axes == {"seed": [1, 2]}
    assert read_manifest(written("network.toml", MANIFEST)).name == "x"


@pytest.mark.parametrize("mark", [b"", BOM])
@pytest.mark.parametrize("words", [b"<unk>\na\nb\nc\n", b"<unk>\na\nb\nc", b"<unk>\r\na\r\nb\r\nc\r\n"])
def test_vocabulary_is_read_with_any_byte_order_mark_and_line_end(mark, words, tmp_path):
    network = load_network(write_network(tmp_path, WORDS + '"words.txt"', mark + words))
    assert network.embedding.encoder.tokens == ("<unk>", "a", "b", "c")


def test_vocabulary_entry_may_hold_a_line_separator(tmp_path):
    network = load_network(write_network(tmp_path, WORDS + '"words.txt"', "<unk>\na\u2028\u0085\nb\nc".encode()))
    assert network.embedding.encoder.tokens == ("<unk>", "a\u2028\u0085", "b", "c")


@pytest.mark.parametrize("mark", [b"", BOM])
@pytest.mark.parametrize("english, german", [
    (b"a dog\na cat\n", b"ein hund\neine katze\n"), (b"a dog\na cat", b"ein hund\neine katze\n"),
    (b"a dog\r\na cat\r\n", b"ein hund\neine katze"),
])  # fmt: skip
def test_captions_are_read_with_any_byte_order_mark_and_last_line(mark, english, german, tmp_path):
    (tmp_path / "val.lc.norm.tok.en").write_bytes(mark + english)
    (tmp_path / "val.lc.norm.tok.de").write_bytes(mark + german)
    trace = multi30k_trace("valid", tmp_path)
    assert trace.sequences == ("a dog", "a cat") and trace.targets == ("ein hund", "eine katze")


def test_review_is_read_without_its_byte_order_mark(tmp_path):
    for side in ("pos", "neg"):
        (tmp_path / f"aclImdb/train/{side}").mkdir(parents=True)
        (tmp_path / f"aclImdb/train/{side}/3_9.txt").write_bytes(BOM + b"well done")
    assert set(imdb_trace("train", tmp_path).sequences) == {"well done"}


def test_byte_order_mark_is_stripped_from_texts():
    trace = archsim.Trace.from_texts(["\ufeffgood film", "a\ufeffb"], ["\ufeffguter film", "c"])
    assert trace.sequences == ("good film", "a\ufeffb") and trace.targets == ("guter film", "c")


# Size and depth of a TOML file


@pytest.mark.parametrize("text", [
    "a = '''" + "[{" * 100 + "'''", 'a = """' + "[" * 100 + '"""', 'a = "' + "{" * 100 + '\\""', "# " + "[" * 100,
    "a = '" + ".b" * 100 + "'", "# " + "a." * 100, "a = [" + "1.5, " * 1000 + "]", "a = " + "9" * 18,
    ".".join("a" * MAX_DEPTH) + " = 1", "a = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH,
    "a = -9223372036854775807", "a = 1e300", "[a]\n" * 1 + "\n".join(f"k{i} = {i}" for i in range(3000)),
])  # fmt: skip
def test_toml_that_only_looks_too_deep_is_read(text):
    assert parse_toml(text, "x", ConfigError) is not None


def test_deep_toml_keys_are_refused_before_parsing(monkeypatch):
    """Parsing a dotted key of 40 kB took 15 s and 2.4 GB."""
    monkeypatch.setattr("tomllib.loads", lambda text: pytest.fail("parsed"))
    for text in (".".join("a" * 20_000) + " = 1", "[" * 5000, "w" * 1_000_000 + ".a" * 40):
        with pytest.raises(ConfigError):
            parse_toml(text, "x", ConfigError)


# Weights of every floating point type


def test_bfloat16_weights_are_read_exactly(tmp_path):
    values = np.array([1.5, -0.25, 3e38, 1e-40], np.float32)
    halves = (values.view(np.uint32) >> 16).astype("<u2")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors(tensor("BF16", (4,), (0, 8)), halves.tobytes()))
    expected = (halves.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(read_weights(path)["w"], expected)


@pytest.mark.parametrize("code, dtype", [("F16", np.float16), ("F32", np.float32), ("F64", np.float64)])
def test_fp16_fp32_and_fp64_weights_are_read(code, dtype, tmp_path):
    values = np.array([1.5, -0.25, 0, -0.0], dtype)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors(tensor(code, (2, 2), (0, values.nbytes)), values.tobytes()))
    np.testing.assert_array_equal(read_weights(path)["w"], values.astype(np.float32).reshape(2, 2))


@pytest.mark.parametrize("error", [
    UsageError("x: need y"), UnknownNameError("policy", "bn", ["bnn"]), DoesNotFitError("l", "f", 3, 2, "bytes"),
    NoSuchPassError("no pass"),
])  # fmt: skip
def test_errors_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)


def test_large_traces_of_zeros_are_read_back(tmp_path):
    """A file may not unpack to any size, so what would pack to a thousandth is stored uncompressed."""
    trace = archsim.Trace.from_arrays([np.zeros((1 << 16, 600), np.float32)])
    for name in ("t.npz", "t.h5"):
        archsim.write_trace(trace, tmp_path / name)
        assert archsim.load_trace(tmp_path / name).digest == trace.digest


def test_long_error_messages_are_shortened():
    message = str(UsageError("x: need " + "y" * 100_000 + " of " + "z " * 100_000))
    assert "yyy…yyy" in message and len(message) <= 4001


def test_pipe_as_a_trace_file_is_refused(tmp_path):
    import os

    os.mkfifo(tmp_path / "trace.npz")
    with pytest.raises(UsageError, match="is a pipe or a device, need a trace file: write its content to a file first"):
        archsim.load_trace(tmp_path / "trace.npz")


def test_huge_header_length_is_refused_without_allocating(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 62) + bytes(100))
    with pytest.raises(UsageError, match="not a readable safetensors file"):
        read_weights(path)
