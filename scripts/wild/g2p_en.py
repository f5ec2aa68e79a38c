"""g2p-en (Park and Kim, Apache 2.0): phonemes of an English word, by two GRUs of 256 units.

One GRU reads the letters and </s>. The other begins in its last state with <s>, and is fed its own phonemes until </s>.
"""

import numpy as np
import torch
from foreign import TorchForeign, edits, words
from judging import main

A, WORD_END, START, END, LONGEST = 3, 2, 2, 3, 20


class G2pEn(TorchForeign):
    """Words are those of image captions; the dictionary that the package asks first is left out."""

    package, version, files = "g2p-en", "2.1.0", ("g2p_en/checkpoint20.npz",)
    measure, loss = "phonemes changed", staticmethod(edits)

    def __init__(self, folder):
        self.w = {name: torch.from_numpy(array) for name, array in np.load(folder / self.files[0]).items()}
        self.model = torch.nn.ModuleDict({"enc": torch.nn.GRU(256, 256), "dec": torch.nn.GRUCell(256, 256)})
        for side, end in (("enc", "_l0"), ("dec", "")):
            names = {f"{name}_{of}": f"{side}_{name[0]}_{of}" for name in ("weight", "bias") for of in ("ih", "hh")}
            self.model[side].load_state_dict({name + end: self.w[array] for name, array in names.items()})
        self.sequences = words(60)

    def answer(self, word):
        """Return the phonemes of a word, by number."""
        letters = [A + ord(letter) - ord("a") for letter in word]
        h = self.model["enc"](self.w["enc_emb"][[*letters, WORD_END]])[1]
        phonemes = [START]
        while phonemes[-1] != END and len(phonemes) <= LONGEST:
            h = self.model["dec"](self.w["dec_emb"][phonemes[-1:]], h)
            phonemes.append(int((h @ self.w["fc_w"].T + self.w["fc_b"]).argmax()))
        return [phoneme for phoneme in phonemes[1:] if phoneme != END]


if __name__ == "__main__":
    main(G2pEn)
