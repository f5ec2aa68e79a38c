"""Reader of movie reviews on a corpus made here, as folder and archive, and on the real one if present."""

import tarfile

import pytest
from harness import CORPORA

import archsim
from archsim.corpora.imdb import imdb_trace
from archsim.errors import TraceError
from archsim.reading import MAX_TEXT_BYTES


@pytest.fixture
def corpus(tmp_path):
    """Return twelve training reviews and two test reviews in the public layout."""
    for part, count in (("train", 12), ("test", 2)):
        for label in ("pos", "neg"):
            folder = tmp_path / "imdb" / "aclImdb" / part / label
            folder.mkdir(parents=True)
            for i in range(count // 2):
                (folder / f"{i + 7}_9.txt").write_text(f"{part} {label} {i + 7}<br />end", "utf-8")
            (folder / "urls.txt").write_text("not a review")
    (tmp_path / "imdb" / "aclImdb" / "train" / "unsup").mkdir()
    return tmp_path


def test_review_splits_of_a_folder_are_disjoint_and_alternate(corpus):
    """Every tenth id of the training reviews is kept for validation; labels alternate."""
    sizes = {split: len(imdb_trace(split, corpus)) for split in ("train", "valid", "test", "all")}
    assert sizes == {"train": 10, "valid": 2, "test": 2, "all": 14}
    valid = imdb_trace("valid", corpus)
    assert valid.sequences == ("train neg 9<br />end", "train pos 9<br />end") and valid.targets == (0, 1)


def test_reviews_of_an_archive_equal_those_of_its_folder(corpus, monkeypatch):
    folder = imdb_trace("all", corpus)
    source = corpus / "imdb" / "aclImdb"
    with tarfile.open(corpus / "imdb" / "aclImdb_v1.tar.gz", "w:gz") as archive:
        archive.add(source, "aclImdb")
        info = tarfile.TarInfo("aclImdb/train/pos/99_1.txt")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    source.rename(corpus / "elsewhere")
    assert imdb_trace("all", corpus).digest == folder.digest
    monkeypatch.setenv("ARCHSIM_DATA", str(corpus))
    assert len(archsim.load_trace("imdb-test")) == 2


def test_missing_corpus_split_or_variable_is_refused(tmp_path, monkeypatch):
    with pytest.raises(TraceError, match="no aclImdb folder"):
        imdb_trace("test", tmp_path)
    with pytest.raises(TraceError, match="accepted: train, valid, test, all"):
        imdb_trace("tset", tmp_path)
    monkeypatch.delenv("ARCHSIM_DATA", raising=False)
    with pytest.raises(TraceError, match="ARCHSIM_DATA is not set"):
        archsim.load_trace("imdb-test")


def test_review_that_is_not_utf8_is_refused_by_name(corpus):
    (corpus / "imdb" / "aclImdb" / "test" / "pos" / "7_9.txt").write_bytes(b"caf\xe9")
    with pytest.raises(TraceError, match="7_9.txt is not UTF-8"):
        imdb_trace("test", corpus)


def test_broken_archive_is_refused(tmp_path):
    (tmp_path / "aclImdb_v1.tar.gz").write_bytes(b"\x1f\x8b garbage")
    with pytest.raises(TraceError, match="not a readable"):
        imdb_trace("test", tmp_path)


def test_oversized_review_is_refused_in_folder_and_archive(tmp_path):
    review = tmp_path / "aclImdb" / "train" / "pos" / "1_9.txt"
    review.parent.mkdir(parents=True)
    review.write_bytes(b"a" * (MAX_TEXT_BYTES + 1))
    with pytest.raises(TraceError, match="1_9.txt has 16777217 bytes, need a review of at most 16777216"):
        imdb_trace("all", tmp_path)
    archive_path = tmp_path / "aclImdb_v1.tar.gz"
    with tarfile.open(archive_path, "w:gz") as archive:
        archive.add(tmp_path / "aclImdb", "aclImdb")
    with pytest.raises(TraceError, match="1_9.txt is larger, need a review of at most 16777216 bytes"):
        imdb_trace("all", archive_path)


@pytest.mark.slow
@pytest.mark.skipif(CORPORA is None, reason="$ARCHSIM_DATA is not set")
def test_real_corpus_has_2500_balanced_validation_reviews():
    """25,000 training reviews, a tenth of them for validation, balanced."""
    valid = imdb_trace("valid")
    assert len(valid) == 2500 and sum(valid.targets) == 1250
