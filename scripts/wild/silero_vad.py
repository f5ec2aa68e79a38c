"""silero-vad (Silero Team, MIT): whether a frame of 32 ms holds speech, by convolutions and an LSTM of 128 units.

A frame is 512 samples behind the last 64 of the frame before. The ONNX file takes all frames of a clip in one call.
"""

import numpy as np
from foreign import OnnxForeign, flips, spoken_digits
from judging import main

import archsim


class SileroVad(OnnxForeign):
    """Clips are strings of spoken digits with pauses between them."""

    package, version = "silero-vad", "6.2.3"
    files = ("silero_vad/data/silero_vad_16k_sequence.onnx",)
    measure, loss = "frames whose decision flips", staticmethod(flips)

    def __init__(self, folder):
        self.model = archsim.OnnxModel(folder / self.files[0])
        self.sequences = spoken_digits(60)

    def feed(self, clip):
        """Return the frames of a clip, (T, 576), and a state of zeros."""
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(clip, (64, 0)), 576)[::512]
        return {"input": frames.astype(np.float32), **dict.fromkeys("hc", np.zeros((1, 1, 128), np.float32))}

    def answer(self, clip, output):
        """Return whether each frame holds speech."""
        return output["speech_probs"] >= 0.5


if __name__ == "__main__":
    main(SileroVad)
