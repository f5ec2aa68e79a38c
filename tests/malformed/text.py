"""Malformed machines, grids, manifests, vocabularies, recordings and corpora."""

from __future__ import annotations

import io
import os
import socket
import struct
import wave
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from archsim.config.load import load_arch
from archsim.corpora.digits import fsdd_trace, read_recordings, read_samples
from archsim.corpora.imdb import imdb_trace
from archsim.corpora.multi30k import multi30k_trace
from archsim.ir.folder import load_network
from archsim.sweeps.grid import load_grid
from malformed import Case, file_case

NOT_TOML: list[tuple[bytes | str, str]] = [
    ("a = " + "9" * 5000, "thousands of digits"),
    ("a = -" + "9" * 5000, "thousands of digits"),
    ("a = 0x" + "f" * 5000, "a is a whole number of 20000 bits"),
    ("a = 0o" + "7" * 3000, "whole number of 9000 bits"),
    ("a = 0b" + "1" * 65, "whole number of 65 bits"),
    ("a = 9223372036854775808", "a is a whole number of 64 bits, need at most 63"),
    ("b.a = [1, [99999999999999999999]]", "b.a is a whole number of 67 bits"),
    ("a = " + "[" * 5000 + "]" * 5000, "brackets nested too deep, need at most 32"),
    ("a = " + "[" * 33, "brackets nested too deep"),
    ("a = " + "{b = " * 40 + "1" + "}" * 40, "brackets nested too deep"),
    ("a" + ".a" * 20000 + " = 1", "a key of more than 32 parts"),
    ("[a" + ".a" * 20000 + "]", "a key of more than 32 parts"),
    ("[[a" + " . a" * 200 + "]]", "a key of more than 32 parts"),
    ('"a"' + '."b"' * 200 + " = 1", "a key of more than 32 parts"),
    ("'a'" + ".'b'" * 200 + " = 1", "a key of more than 32 parts"),
    ("a = {" + ".".join("b" * 50) + " = 1}", "a key of more than 32 parts"),
    (b"\xff\xfe[\x00a\x00]\x00", "not UTF-8"),
    (b"a = '\xc3('", "not UTF-8"),
    (b"a = 1\xef\xbb\xbf", "not TOML"),
    (b"a = '\x00'", "not TOML"),
    (b"\x00" * 64, "not TOML"),
    ("a = 1\na = 2", "not TOML: Cannot overwrite"),
    ("[a]\n[a]", "not TOML: Cannot declare"),
    ("a = ", "not TOML"),
    ("a = 01", "not TOML"),
    ("a = 1__0", "not TOML"),
    ("a = 1 2", "not TOML"),
    ("= 1", "not TOML"),
    ("a = 'x", "not TOML"),
    ('a = """x', "not TOML"),
    ('a = "\\q"', "not TOML"),
    ("a = [1, ", "not TOML"),
    ("a = {b = 1", "not TOML"),
    ("[a", "not TOML"),
    ("[]", "not TOML"),
    ("a = 2020-13-01", "not TOML"),
    ("a = nope", "not TOML"),
    ("{}", "not TOML"),
    ('{"name": "x"}', "not TOML"),
    ("<toml/>", "not TOML"),
    ("a = 1\rb = 2", "not TOML"),
    (chr(92) + '"""\n' * 8000, "not TOML"),
    ((chr(92) + '"""\n') * 8000, "not TOML"),
    ('"""' * 20001, "not TOML"),
    ("'''x" * 9999, "not TOML"),
]
BAD_ARCHS = [
    ("fmu = 3", "fmu"), ("fmu = true", "fmu"), ("dpu = []", "dpu"), ("[dpu]\nlanes = 0", "dpu.lanes = 0"),
    ("[dpu]\nlanes = -1", "dpu.lanes = -1"), ("[dpu]\nlanes = 1.5", "dpu.lanes = 1.5"),
    ("[dpu]\nlanes = nan", "dpu.lanes = nan"), ("[dpu]\nlanes = inf", "dpu.lanes = inf"),
    ("[dpu]\nlanes = true", "dpu.lanes = True"), ("[dpu]\nlanes = '16 '", "dpu.lanes"),
    ("[dpu]\nlanes = 2020-01-01", "dpu.lanes"), ("[dpu]\nlanes = {a = 1}", "dpu.lanes"),
    ("[dpu]\nlane = 3", "unknown key 'dpu.lane', did you mean 'lanes'"), ("nmae = 'x'", "unknown key 'nmae'"),
    ("name = 3", "name = 3"), ("technology = 3", "technology = 3"), ("clock_period_ps = 0", "clock_period_ps = 0"),
    ("dataflow = 'stepp'", "dataflow = 'stepp'"), ("dispatch = 1", "dispatch = 1"),
    ("[dram]\npreset = 'ddr9'", "unknown memory 'ddr9'"), ("[dram]\npreset = 3", "unknown memory '3'"),
    ("[weight_buffer]\nbanks = 0", "weight_buffer.banks = 0"), ("computation_units = 1000", "computation_units = 1000"),
    ("[" + "k" * 3000 + "]", "unknown key"), ("name = 'x'\n" + "z" * 100_000 + " = 1", "unknown key"),
    ("[dpu]\nlanes = '" + "9" * 100_000 + "'", "dpu.lanes"),
]  # fmt: skip
BAD_GRIDS = [
    ("[axes]\nthreshold = []", "threshold"), ("[axes]\nthreshold = 3", "threshold"),
    ("axes = 3", "axes is a int"), ("fixed = [1]", "fixed is a list"), ("zip = 3", "zip is a int"),
    ("only = {a = 1}", "only is a dict"), ("[preset]\na = 3", "preset.a is a int"), ("[axis]\nseed = [1]", "axis"),
    ("[axes]\nseed = [1, 1]", "seed has 1 twice"), ("[axes]\nseed = ['1']", "seed"), ("[axes]\nseeed = [1]", "seeed"),
    ("[axes]\nthreshold = {from = 1, to = 0, step = 1}", "from = 1 is above to = 0"),
    ("[axes]\nthreshold = {from = 0, to = 1}", "needs `step` or `points`"),
    ("[axes]\nthreshold = {from = 0, to = 1, step = 0}", "step = 0"),
    ("[axes]\nthreshold = {from = 0, to = 1, step = -1}", "step = -1"),
    ("[axes]\nthreshold = {from = 0, to = nan, step = 1}", "to.*nan"),
    ("[axes]\nthreshold = {from = 0, to = 1e15, step = 1e-9}", "need at most 10000 values"),
    ("[axes]\nthreshold = {from = 0, to = 1, points = 1}", "points = 1"),
    ("[axes]\nthreshold = {from = 0, to = 1, points = 2, scale = 'log'}", "from > 0"),
    ("[axes]\nthreshold = {fron = 0, to = 1, step = 1}", "fron"),
    ("[fixed]\nnetwork = 3", "network = 3"), ("[fixed]\nlimit = 1.5", "limit = 1.5"),
    ("[fixed]\nlimit = true", "limit = True"), ("[fixed]\nthreshold = 'x'", "threshold = 'x'"),
    ("[fixed]\n'arch.nothing' = 3", "arch.nothing"), ("[fixed]\nseed = 2020-01-01", "seed"),
    ("[axes]\nseed = [1]\n[fixed]\nseed = 1", "'seed' is set in"), ("[axes]\nseed = [1]\n[[only]]\nlimit = 1", "limit"),
    ("[axes]\nseed = [1]\n[[skip]]\nseed = 1", "no point is left"), ("[axes]\nseed = [1]\n[[zip]]\nlimit = 1", "limit"),
    ("[[zip]]\nseed = [1, 2]\nlimit = [1]", "seed|limit"), ("[axes]\npreset = ['a']", "preset"),
    ("[axes]\n" + "\n".join(f"'arch.dpu.lanes{i}' = [1]" for i in range(300)), "unknown key"),
]  # fmt: skip
MANIFEST = 'name = "x"\n[[stacks]]\nprefix = ""\ncell = "gru"\ninput_size = 3\nhidden_size = 2\n'
BAD_MANIFESTS = [
    ("", "name|stacks"), ("name = 3", "name"), ('name = "x"', "stacks"), ("stacks = 3", "name|stacks"),
    (MANIFEST.replace("gru", "grru"), "cell = 'grru': not supported, did you mean 'gru'"),
    (MANIFEST.replace('"gru"', "3"), "cell = 3"), (MANIFEST.replace("= 3", "= 0"), "input_size = 0"),
    (MANIFEST.replace("= 3", "= '3'"), "input_size = '3'"), (MANIFEST.replace("= 3", "= 3.0"), "input_size = 3.0"),
    (MANIFEST.replace("= 3", "= true"), "input_size = True"), (MANIFEST.replace("= 2", "= -2"), "hidden_size = -2"),
    (MANIFEST + "num_layers = 0", "num_layers = 0"), (MANIFEST + "num_layers = 10_000_000", "num_layers|missing"),
    (MANIFEST + "bidirectional = 1", "bidirectional = 1"), (MANIFEST + "role = 'x'", "role = 'x'"),
    (MANIFEST + "hiden_size = 1", "unknown key"), (MANIFEST.replace('prefix = ""', "prefix = 1"), "prefix = 1"),
    (MANIFEST + "[thresholds]\nbnn = -1", "thresholds.bnn = -1"), (MANIFEST + "[thresholds]\nbnn = nan", "nan"),
    (MANIFEST + "[thresholds]\nbnn = true", "thresholds.bnn = True"), (MANIFEST + "[thresholds]\nbnn = []", "bnn"),
    (MANIFEST + "[calibration.bnn]\ntrace = 'x'\nmargin = nan", "calibration"),
    (MANIFEST + "[scales]\ninputs = 3", "scales"), (MANIFEST + "[head]\nkind = 'x'", "kind"),
    (MANIFEST + "[head]\nkind = 'mean-linear'", "weight"), ("metric = 3\n" + MANIFEST, "metric = 3"),
    ("metric = 'accuracy'\n" + MANIFEST, "metric = 'accuracy'"), ("frontend = 'mell'\n" + MANIFEST, "frontend 'mell'"),
    (MANIFEST + "[embedding]\nweight = 'e'", "tensor 'e' is missing"), (MANIFEST + "embedding = 3", "embedding"),
]  # fmt: skip
WORDS = MANIFEST + "[embedding]\nweight = 'e'\nvocabulary = "
BAD_VOCABULARIES = [
    (b"", "first entry is 'missing'"), (b"good\n", "first entry is 'good'"), (b"<unk>\na\na\n", "'a' occurs twice"),
    (b"<unk>\n", "1 entries, the embedding has 4 rows"), (b"<unk>\na\nb\nc\nd\n", "5 entries"),
    (b"\xff\xfe", "not UTF-8"), (b"<unk>\n\n\nb", "'' occurs twice"), (b"\x00" * 9, "first entry is"),
    (b"<unk>\r\na\r\na\r\nb", "'a' occurs twice"), (b"<unk> \na\nb\nc", "first entry is '<unk> '"),
]  # fmt: skip
VOCABULARY_NAMES = [
    ('"' + "v" * 5000 + '"', "embedding.vocabulary"), ('"../words.txt"', "no such file in the folder"),
    ('"/etc/hostname"', "no such file in the folder"), ('"nowhere.txt"', "no such file"), ('"sub/words.txt"', "no such"),
    ('"a\\u0000b"', "embedding.vocabulary"), ("3", "embedding.vocabulary = 3"), ('"."', "vocabulary|folder"),
    ('"words.txt"\nsubwords = "words.txt"', "need one of them"), ('""\nsubwords = "words.txt"', "need one of them"), ('""', "is a folder|no such"),
]  # fmt: skip


def write_network(folder: Path, manifest: str, words: bytes = b"<unk>\na\nb\nc\n") -> Path:
    """Write a small GRU with an embedding of four tokens."""
    (folder / "network.toml").write_text(manifest)
    (folder / "words.txt").write_bytes(words)
    shapes = {"weight_ih_l0": (6, 3), "weight_hh_l0": (6, 2)}
    tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    save_file(
        tensors | ({"e": np.ones((4, 3), np.float32)} if "vocabulary" in manifest else {}),
        folder / "weights.safetensors",
    )
    return folder


def network_case(kind: str, manifest: str, words: bytes, says: str, n: int) -> Case:
    def make(folder: Path):
        net = write_network(folder, manifest, words)
        return lambda: load_network(net)

    return Case(f"{kind}-{n}", make, says)


def toml_cases(kind, file, read, refusals):
    return [file_case(kind, file, read, content, says, n) for n, (content, says) in enumerate(refusals)]


def recording(rate=8000, channels=1, width=2, frames=80) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(frames * channels * width))
    return out.getvalue()


def of_format(code: int) -> bytes:
    """Return a WAV file of another coding: 3 floating point, 2 ADPCM, 6 A-law, 0xFFFE extensible."""
    data = recording()
    return data[:20] + struct.pack("<H", code) + data[22:]


BAD_RECORDINGS = [
    (b"", "cannot be read as WAV"), (b"RIFF", "WAV"), (recording()[:20], "WAV"), (recording()[:43], "WAV"),
    (recording()[:53], "cut short|WAV"), (recording()[:-1], "cut short"), (recording(frames=0), "cut short"),
    (recording(rate=16000), "16000 Hz"), (recording(channels=2), "2 channels"), (recording(width=1), "8 bit"),
    (recording(width=3), "24 bit"), (recording(width=4), "32 bit"), (of_format(3), "WAV"), (of_format(2), "WAV"),
    (of_format(6), "WAV"), (b"RIFX" + recording()[4:], "WAV"), (b"OggS" + bytes(60), "WAV"), (bytes(53), "WAV"),
    (b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff" + bytes(40), "WAV"),
    (b"RIFF\x24\x00\x00\x00WAVEdata\x00\x00\x00\x00", "WAV"),
]  # fmt: skip


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.toml")
    return folder / "pipe.toml"


def listening(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket has 108 letters at most
        try:
            one.bind("s.toml")
        finally:
            os.chdir(here)
    return folder / "s.toml"


def loop(folder: Path) -> Path:
    (folder / "a.toml").symlink_to("b.toml")
    (folder / "b.toml").symlink_to("a.toml")
    return folder / "a.toml"


def large(folder: Path) -> Path:
    with (folder / "large.toml").open("wb") as file:
        file.truncate((1 << 24) + 1)
    return folder / "large.toml"


PLACES = {
    "a pipe": (fifo, "is a pipe or a device"), "a socket": (listening, "is a pipe or a device"),
    "an endless device": (lambda folder: Path("/dev/zero"), "is a pipe or a device"),
    "a loop of links": (loop, "cannot be a file|no such file|unknown"), "too large": (large, "need .* of at most 16777216"),
    "a folder": (lambda folder: folder, "is a folder|does not exist"),
    "a long name": (lambda folder: folder / ("n" * 300 + ".toml"), "cannot be a file|no such|unknown"),
    "a long path": (lambda folder: folder.joinpath(*["p" * 200] * 30, "x.toml"), "cannot be a file|no such|unknown"),
    "a name with NUL": (lambda folder: folder / "a\0b.toml", "cannot be a file|no such|unknown|null"),
    "nothing": (lambda folder: folder / "nowhere.toml", "no such file|unknown"),
}  # fmt: skip
READERS = {"arch": load_arch, "grid": load_grid, "network": load_network}


def place_case(kind: str, name: str, says: str) -> Case:
    def make(folder: Path):
        path = PLACES[name][0](folder)
        return lambda: READERS[kind](path)

    return Case(f"{kind}-{name}", make, says)


def place_cases():
    for kind in READERS:
        for name, (_, says) in PLACES.items():
            yield place_case(kind, name, f"{says}|is a file: a network is a folder" if kind == "network" else says)


def captions(folder: Path, en: bytes, de: bytes):
    (folder / "val.lc.norm.tok.en").write_bytes(en)
    (folder / "val.lc.norm.tok.de").write_bytes(de)
    return lambda: multi30k_trace("valid", folder)


def reviews(folder: Path, review: bytes):
    (folder / "aclImdb/train/pos").mkdir(parents=True)
    (folder / "aclImdb/train/pos/3_9.txt").write_bytes(review)
    return lambda: imdb_trace("train", folder)


def piped_review(folder: Path):
    (folder / "aclImdb/train/pos").mkdir(parents=True)
    os.mkfifo(folder / "aclImdb/train/pos/3_9.txt")
    return lambda: imdb_trace("train", folder)


def piped_archive(folder: Path):
    os.mkfifo(folder / "aclImdb_v1.tar.gz")
    return lambda: imdb_trace("train", folder)


def archive(folder: Path, content: bytes):
    (folder / "aclImdb_v1.tar.gz").write_bytes(content)
    return lambda: imdb_trace("train", folder)


def wav_named(folder: Path, name: str):
    (folder / name).write_bytes(recording())
    return lambda: read_recordings(folder)


CORPORA = [
    Case("captions-of two lengths", lambda f: captions(f, b"a\nb\n", b"a\n"), "2 lines of .en and 1 of .de"),
    Case("captions-not UTF-8", lambda f: captions(f, b"a\n", b"\xff\n"), "not UTF-8"),
    Case("captions-half blank", lambda f: captions(f, b"a\nb\n", b"a\n \n"), "line 2 is blank in one language"),
    Case("captions-none", lambda f: captions(f, b"", b""), "no sequences"),
    Case("captions-no folder", lambda f: lambda: multi30k_trace("valid", f / "x"), "multi30k|sentences|val"),
    Case("reviews-not UTF-8", lambda f: reviews(f, b"\xff"), "3_9.txt is not UTF-8"),
    Case("reviews-blank", lambda f: reviews(f, b"\xef\xbb\xbf \n"), "need a text that is not blank"),
    Case("reviews-no archive", lambda f: archive(f, b"no"), "not a readable .tar.gz"),
    Case("reviews-half an archive", lambda f: archive(f, b"\x1f\x8b\x08\x00" + bytes(20)), "not a readable .tar.gz"),
    Case("reviews-none", lambda f: lambda: imdb_trace("train", f), "no aclImdb folder"),
    Case("reviews-a pipe", piped_review, "3_9.txt is a pipe or a device"),
    Case("reviews-a piped archive", piped_archive, "tar.gz is a pipe or a device"),
    Case("reviews-split", lambda f: lambda: imdb_trace("tran", f), "tran"),
    Case("digits-name", lambda f: wav_named(f, "x.wav"), "DIGIT_SPEAKER_INDEX"),
    Case("digits-none", lambda f: lambda: fsdd_trace("train", f), "recording|folder|wav"),
]
CASES = [
    *toml_cases("arch", "machine.toml", load_arch, [*NOT_TOML, *BAD_ARCHS]),
    *toml_cases("grid", "grid.toml", load_grid, [*NOT_TOML[::3], *BAD_GRIDS]),
    *(network_case("manifest", str(m), b"", s, n) for n, (m, s) in enumerate([*NOT_TOML[:16:3], *BAD_MANIFESTS])),
    *(
        network_case("words", WORDS + '"words.txt"', w, f"words.txt.*{s}", n)
        for n, (w, s) in enumerate(BAD_VOCABULARIES)
    ),
    *(
        network_case("words-name", WORDS + name, b"<unk>\na\nb\nc", s, n)
        for n, (name, s) in enumerate(VOCABULARY_NAMES)
    ),
    *toml_cases("wav", "7_theo_3.wav", read_samples, BAD_RECORDINGS),
    *place_cases(),
    *CORPORA,
]
