"""Reading of network folders: `network.toml`, `weights.safetensors` with torch's state-dict names, a text encoder."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from pydantic import ValidationError

from archsim.errors import NetworkError, UnknownNameError
from archsim.files import bundled_folder
from archsim.ir.heads import AttentionDecoder, CtcHead, Head, MeanClassifier
from archsim.ir.manifest import (
    CtcManifest,
    DecoderManifest,
    EmbeddingManifest,
    HeadManifest,
    Manifest,
    ScalesManifest,
)
from archsim.ir.network import Embedding, Network, Scales
from archsim.ir.speech import frontend_named
from archsim.ir.tensors import NamedTensors, read_weights, stack_layers
from archsim.ir.text import Subwords, TextEncoder, Vocabulary
from archsim.reading import is_folder, is_there, lines_of, read_bytes, read_text, read_toml
from archsim.validation import explain

MANIFEST, WEIGHTS = "network.toml", "weights.safetensors"


def bundled_networks() -> list[str]:
    """Return the names of the networks installed with the package."""
    return sorted(path.parent.name for path in bundled_folder("models").glob(f"*/{MANIFEST}"))


def network_folder(name: str | Path) -> Path:
    """Return the folder of a bundled network by name, or of any other by path.

    Raises UnknownNameError if it is neither, and NetworkError for a file.
    """
    if str(name) in bundled_networks():
        return bundled_folder("models") / str(name)
    if not isinstance(name, str | Path):
        raise NetworkError(f"load_network: got a {type(name).__name__}, need a name or a path")
    if is_there(Path(name)) and not is_folder(Path(name)):
        raise NetworkError(f"{name} is a file: a network is a folder with {MANIFEST} and {WEIGHTS}")
    if not is_folder(Path(name)):
        raise UnknownNameError("network", str(name), bundled_networks(), also=f"a folder with {MANIFEST}")
    return Path(name)


def load_network(name: str | Path) -> Network:
    """Load a bundled network by name, or a network folder by path.

    Raises UnknownNameError if it is neither, and NetworkError with file and field for a broken folder.
    """
    folder = network_folder(name)
    manifest = read_manifest(folder / MANIFEST)
    weights = read_weights(folder / WEIGHTS)
    stacks = sorted(manifest.stacks, key=lambda stack: stack.role == "decoder")
    layers = [(stack.role, layer) for stack in stacks for layer in stack_layers(weights, stack)]
    embedding = _embedding(folder, manifest.embedding, weights)
    head = _head(folder, manifest.head, embedding, weights)
    unread = sorted(set(weights) - weights.read)
    if unread:
        raise NetworkError(f"{folder / WEIGHTS}: {', '.join(unread)} are not in {MANIFEST}: more layers or directions?")
    return Network(
        name=manifest.name,
        layers=tuple(layer for _, layer in layers),
        decoder_depth=sum(role == "decoder" for role, _ in layers),
        embedding=embedding,
        frontend=frontend_named(manifest.frontend, f"{folder / MANIFEST}: ") if manifest.frontend else None,
        head=head,
        metric=manifest.metric,
        thresholds=manifest.thresholds,
        scales=_scales(manifest.scales) if manifest.scales else None,
        description=manifest.description,
        provenance=manifest.provenance,
        default_trace=manifest.default_trace,
        corpus=manifest.corpus,
    )


def _scales(manifest: ScalesManifest) -> Scales:
    return Scales(**{field.name: getattr(manifest, field.name) for field in fields(Scales)})


def network_files(name: str | Path) -> list[Path]:
    """Return the files of a network folder; raise UsageError if there is no such folder."""
    folder = network_folder(name)
    embedding = read_manifest(folder / MANIFEST).embedding
    beside = (embedding.vocabulary, embedding.subwords) if embedding else ()
    return [folder / file for file in (MANIFEST, WEIGHTS, *beside) if file]


def read_manifest(path: Path) -> Manifest:
    """Read `network.toml`; raise NetworkError that names the wrong key."""
    if not is_there(path):
        raise NetworkError(f"{path} does not exist; a network folder holds {MANIFEST} and {WEIGHTS}")
    try:
        return Manifest.model_validate(read_toml(path, NetworkError))
    except ValidationError as error:
        raise NetworkError(f"{path}: {explain(error, Manifest)}") from None


def _embedding(folder: Path, manifest: EmbeddingManifest | None, tensors: NamedTensors) -> Embedding | None:
    if manifest is None:
        return None
    table, encoder = tensors.need(manifest.weight), _text_encoder(folder, manifest)
    if encoder is not None and len(encoder) != table.shape[0]:
        source = folder / (manifest.vocabulary or manifest.subwords or "")
        raise NetworkError(f"{source}: {len(encoder)} entries, the embedding has {table.shape[0]} rows")
    return Embedding(table, encoder)


def _text_encoder(folder: Path, manifest: EmbeddingManifest) -> TextEncoder | None:
    if manifest.vocabulary is not None and manifest.subwords is not None:
        raise NetworkError(f"{folder / MANIFEST}: embedding has a vocabulary and subwords, need one of them")
    if manifest.vocabulary is not None:
        path = _beside(folder, "embedding.vocabulary", manifest.vocabulary)
        return Vocabulary(lines_of(read_text(path, NetworkError, "a word per line")), f"{path}: ")
    if manifest.subwords is not None:
        path = _beside(folder, "embedding.subwords", manifest.subwords)
        return Subwords(read_bytes(path, NetworkError, "a sentencepiece model"), f"{path}: ")
    return None


def _beside(folder: Path, field: str, name: str) -> Path:
    path = folder / name
    if path.parent != folder or not is_there(path):
        raise NetworkError(f"{folder / MANIFEST}: {field} = {name!r}: no such file in the folder")
    return path


def _head(
    folder: Path, manifest: HeadManifest | None, embedding: Embedding | None, tensors: NamedTensors
) -> Head | None:
    if manifest is None:
        return None
    if isinstance(manifest, CtcManifest):
        return CtcHead(tensors.need(manifest.weight), tensors.need(manifest.bias), manifest.labels)
    if isinstance(manifest, DecoderManifest):
        subwords = embedding.encoder if embedding else None
        if not isinstance(subwords, Subwords):
            raise NetworkError(f"{folder / MANIFEST}: head {manifest.kind!r} needs embedding.subwords to write texts")
        return AttentionDecoder(
            attention=tensors.need(manifest.attention),
            combine_weight=tensors.need(manifest.combine_weight),
            combine_bias=tensors.need(manifest.combine_bias),
            output_bias=tensors.need(manifest.output_bias),
            start=subwords.start,
            end=subwords.end,
        )
    return MeanClassifier(tensors.need(manifest.weight), tensors.need(manifest.bias))
