"""Resemblyzer (Resemble AI, Apache 2.0): an embedding of a voice, by an LSTM of 3 times 256 units (arXiv 1710.10467).

Mel power spectra (40 bands, 25 ms every 10 ms) of 1.6 s go in. An utterance is the mean of 1.3 such windows per second.
"""

import numpy as np
import torch
from foreign import TorchForeign, cosine_distance, frames_of, mel_filters, spoken_digits
from judging import main
from torch import nn
from torch.nn.functional import normalize


class Resemblyzer(TorchForeign):
    """Utterances are strings of spoken digits; they are loud enough as they are, and silences stay."""

    package, version, files = "Resemblyzer", "0.1.4", ("resemblyzer/pretrained.pt",)
    measure, loss = "cosine distance of the embedding", staticmethod(cosine_distance)

    def __init__(self, folder):
        self.model = nn.ModuleDict({"lstm": nn.LSTM(40, 256, 3, batch_first=True), "linear": nn.Linear(256, 256)})
        weights = torch.load(folder / self.files[0], "cpu", weights_only=True)["model_state"]
        self.model.load_state_dict({name: weights[name] for name in self.model.state_dict()})
        self.sequences = [self._windows(clip) for clip in spoken_digits(60)]

    def _windows(self, clip):
        spectra = np.fft.rfft(frames_of(np.pad(clip, 200), np.hanning(401)[:-1], 160))
        mel = np.pad(np.abs(spectra) ** 2 @ mel_filters(201, 40), ((0, 160), (0, 0)))
        starts = range(0, max(1, len(spectra) - 160 + 77 + 1), 77)
        return torch.tensor(np.stack([mel[start : start + 160] for start in starts]), dtype=torch.float32)

    def answer(self, windows):
        """Return the embedding of an utterance, of length 1."""
        last = self.model["lstm"](windows)[1][0][-1]
        embeddings = normalize(torch.relu(self.model["linear"](last)))
        return normalize(embeddings.mean(0), dim=0).numpy()


if __name__ == "__main__":
    main(Resemblyzer)
