"""Digit strings, caption pairs and downloads, on corpora made here."""

import functools
import hashlib
import io
import tarfile
import threading
import wave
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import archsim
from archsim.corpora import digits
from archsim.corpora import download as downloads
from archsim.corpora.digits import fsdd_trace
from archsim.corpora.download import Home, Remote, download
from archsim.corpora.multi30k import multi30k_trace
from archsim.errors import TraceError


def wav_bytes(length, rate=8000, channels=1):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        tone = (np.sin(np.arange(length) * 0.3) * 5000).astype("<i2")
        file.writeframes(np.repeat(tone, channels).tobytes())
    return out.getvalue()


@pytest.fixture
def recordings(tmp_path):
    """Return a corpus of two speakers, ten digits, indices 0 (test), 5 (validation) and 8 (training)."""
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for digit in range(10):
        for speaker in ("ada", "bob"):
            for index in (0, 5, 8):
                (folder / f"{digit}_{speaker}_{index}.wav").write_bytes(wav_bytes(1500 + 10 * digit + index))
    return tmp_path


def test_digit_strings_of_a_split_are_reproducible(recordings):
    """At least 300 strings of three to seven digits, the same every time, without recordings of another split."""
    test = fsdd_trace("test", recordings)
    assert test.kind == "audio" and test.sample_rate_hz == 8000 and len(test) >= 300
    assert {len(target.split()) for target in test.targets} == {3, 4, 5, 6, 7}
    assert fsdd_trace("test", recordings / "fsdd").digest == test.digest
    assert fsdd_trace("valid", recordings).digest != test.digest
    assert len(fsdd_trace("all", recordings / "fsdd" / "recordings")) >= 300


def test_digit_strings_use_all_recordings_of_their_split_only(recordings, monkeypatch):
    used = []
    monkeypatch.setattr(digits, "_joined", lambda said, rng: used.extend(said) or np.zeros(9, np.int16))
    fsdd_trace("valid", recordings)
    assert {(r.digit, r.speaker, r.index) for r in used} == {(d, s, 5) for d in range(10) for s in ("ada", "bob")}
    assert [digits.split_of(index) for index in (0, 4, 5, 7, 8, 49)] == 2 * ["test"] + 2 * ["valid"] + 2 * ["train"]


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("7_eve_0.wav", wav_bytes(900, rate=16000), "16000 Hz, 1 channels, 16 bit; need 8000 Hz"),
        ("7_eve_0.wav", wav_bytes(900, channels=2), "2 channels"),
        ("7_eve_0.wav", b"RIFF", "cannot be read as WAV"),
        ("7_eve_0.wav", wav_bytes(900)[:-1], "1799 bytes of samples where its header says 1800"),
        ("7_eve_0.wav", wav_bytes(900)[:-100], "1700 bytes of samples where its header says 1800"),
        ("7_eve_0.wav", wav_bytes(0), "0 bytes of samples"),
        ("seven.wav", wav_bytes(900), "need a name DIGIT_SPEAKER_INDEX.wav"),
    ],
)
def test_invalid_recording_is_refused_by_name(recordings, name, data, message):
    (recordings / "fsdd" / "recordings" / name).write_bytes(data)
    with pytest.raises(TraceError, match=f"{name}: .*{message}"):
        fsdd_trace("test", recordings)


@pytest.fixture
def captions(tmp_path):
    folder = tmp_path / "multi30k"
    folder.mkdir()
    for name, count in (("train", 3), ("val", 2), ("test_2016_flickr", 1)):
        for language in ("en", "de"):
            text = "".join(f"{name} {language} {i} .\n" for i in range(count))
            (folder / f"{name}.lc.norm.tok.{language}").write_text(text)
    return tmp_path


def test_caption_pairs_of_a_split_are_aligned(captions):
    valid = multi30k_trace("valid", captions)
    assert valid.sequences == ("val en 0 .", "val en 1 .") and valid.targets == ("val de 0 .", "val de 1 .")
    assert len(multi30k_trace("all", captions)) == 6 and len(multi30k_trace("train", captions / "multi30k")) == 3


def test_broken_caption_files_are_refused_by_name(captions):
    folder = captions / "multi30k"
    (folder / "val.lc.norm.tok.de").write_text("nur eine .\n")
    with pytest.raises(TraceError, match="val.lc.norm.tok: 2 lines of .en and 1 of .de"):
        multi30k_trace("valid", captions)
    (folder / "val.lc.norm.tok.de").write_text("eine .\n\n")
    with pytest.raises(TraceError, match="line 2 is blank in one language"):
        multi30k_trace("valid", captions)
    (folder / "train.lc.norm.tok.de").unlink()
    with pytest.raises(TraceError, match="train.lc.norm.tok.de does not exist: need both languages"):
        multi30k_trace("train", captions)
    with pytest.raises(TraceError, match="no recordings like 7_theo_12.wav in it; looked in"):
        fsdd_trace("test", captions)


@pytest.fixture
def server(tmp_path):
    """Yield a folder and the address at which a web server on loopback serves it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            """Print nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_download_is_checked_by_digest_and_kept_only_if_whole(server, tmp_path, monkeypatch):
    folder, url = server
    (folder / "a.txt").write_bytes(b"hello" * 100_000)
    sha256 = hashlib.sha256(b"hello" * 100_000).hexdigest()
    seen = []
    monkeypatch.setitem(downloads.HOMES, "multi30k", Home("http://nowhere.invalid/", (Remote("a.txt", sha256),)))
    download("multi30k", tmp_path / "got", base_url=url, on_progress=lambda *step: seen.append(step))
    assert (tmp_path / "got" / "a.txt").read_bytes() == b"hello" * 100_000
    assert sum(n for _, n, _ in seen) == 500_000 == seen[0][2]
    (folder / "a.txt").write_bytes(b"other")
    download("multi30k", tmp_path / "got", base_url=url, on_progress=lambda *step: None)  # already there: not fetched
    with pytest.raises(TraceError, match="SHA-256 is .*, need .*: nothing was kept"):
        download("multi30k", tmp_path / "bad", base_url=url, on_progress=lambda *step: None)
    with pytest.raises(TraceError, match="cannot be fetched"):
        download("multi30k", tmp_path / "bad", base_url=url + "/missing", on_progress=lambda *step: None)
    for nonsense in ("http://localhost:abc", "http://exa mple"):
        with pytest.raises(TraceError, match="cannot be fetched"):
            download("multi30k", tmp_path / "bad", base_url=nonsense, on_progress=lambda *step: None)
    with pytest.raises(TraceError, match="is a file: need a folder"):
        download("multi30k", folder / "a.txt", base_url=url, on_progress=lambda *step: None)
    assert list((tmp_path / "bad").iterdir()) == []


def test_archive_unpacks_only_checked_recordings(server, tmp_path, monkeypatch):
    """Only recordings with a known digest, up to index 44, come out, whatever path they claim."""
    folder, url = server
    good, unchecked = {"7_ada_3.wav": wav_bytes(900)}, {"7_ada_45.wav": wav_bytes(901), "7_ada_123.wav": b"x"}
    with tarfile.open(folder / "v1.0.10.tar.gz", "w:gz") as archive:
        for name, data in {**good, **unchecked, "../../evil_0.wav": b"x", "README.md": b"text"}.items():
            info = tarfile.TarInfo(f"free-spoken-digit-dataset/recordings/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    sha256 = hashlib.sha256(b"7_ada_3.wav\0" + good["7_ada_3.wav"]).hexdigest()
    remote = downloads.HOMES["fsdd"].files[0]._replace(sha256=sha256)
    monkeypatch.setitem(downloads.HOMES, "fsdd", Home(url, (remote,)))
    download("fsdd", tmp_path / "got", on_progress=lambda *step: None)
    assert sorted(p.name for p in (tmp_path / "got" / "recordings").iterdir()) == sorted(good)
    (folder / "v1.0.10.tar.gz").write_bytes(b"\x1f\x8b garbage")
    with pytest.raises(TraceError, match="not a readable .tar.gz"):
        download("fsdd", tmp_path / "bad", on_progress=lambda *step: None)
    assert list((tmp_path / "bad").iterdir()) == []


def test_every_corpus_has_a_download_source_and_named_splits():
    assert set(downloads.HOMES) == {"imdb", "fsdd", "multi30k"}
    with pytest.raises(TraceError, match="accepted: train, valid, test, all"):
        multi30k_trace("tset")
    with pytest.raises(archsim.ArchsimError, match="did you mean 'fsdd-test'"):
        archsim.load_trace("fsdd-tset")
