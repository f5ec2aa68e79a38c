"""ddddocr (MIT): the characters in a small image, by convolutions and an LSTM of 512 units in two directions.

Grey images 64 pixels high, from -1 to 1, go in; a class per column comes out, repeated or 0 where there is no new one.
"""

from itertools import groupby

import numpy as np
from foreign import OnnxForeign, edits, words
from judging import main
from PIL import Image, ImageDraw, ImageFont

import archsim


class Ddddocr(OnnxForeign):
    """Images are words of image captions, rendered in black on white."""

    package, version, files = "ddddocr", "1.5.6", ("ddddocr/common.onnx",)
    measure, loss = "characters changed", staticmethod(edits)

    def __init__(self, folder):
        self.model = archsim.OnnxModel(folder / self.files[0])
        self.sequences = words(60)

    def feed(self, word):
        """Return the image of a word, (1, 1, 64, W)."""
        font = ImageFont.load_default(40)
        image = Image.new("L", (round(font.getlength(word)) + 20, 64), 255)
        ImageDraw.Draw(image).text((10, 8), word, fill=0, font=font)
        return {"input1": np.asarray(image, np.float32)[None, None] / 127.5 - 1}

    def answer(self, word, output):
        """Return the characters, by class."""
        return [int(found) for found, _ in groupby(output["387"][:, 0].argmax(-1)) if found]


if __name__ == "__main__":
    main(Ddddocr)
