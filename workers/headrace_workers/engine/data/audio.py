"""Sounds as they were uploaded, of any length, rate and channels, to log-mel spectrograms of one size.

A spectrogram is an image: mel bands from low to high by frames in time. Each is standardised by itself, so
that neither how loud a recording is nor how much noise it has decides how well a network can learn from it
(Viikki and Laurila 1998, Cepstral domain segmental feature vector normalization): `MIDDLE` is the mean of its
decibels, `UNIT` more is a standard deviation. The filters and the spectrum are Kaldi's (Povey et al. 2011,
The Kaldi speech recognition toolkit), without dither, which is random.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final, Literal

import kaldi_native_fbank as fbank
import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.signal import resample_poly

from headrace.errors import BadData

MAGIC_BYTES: Final = 12
"""So many bytes tell a WAV file."""
FORMATS: Final = ("WAV", "WAVEX")
MAX_SECONDS: Final = 600
MAX_CHANNELS: Final = 32
BLOCK_FRAMES: Final = 1 << 20
RATES: Final = range(1_000, 384_001)
MAX_RATE: Final = 16_000
"""Faster recordings are brought down to this rate: little of speech and of most sounds is above 8 kHz."""
BANDS: Final = 64
MAX_FRAMES: Final = 256
SHIFT_MS, FRAME_MS = 10.0, 25.0
"""Of short sounds; those of more than `MAX_FRAMES` frames get longer ones."""
RANGE_DB: Final = 80.0
"""What is that far or further below the loudest band and frame counts as that far below."""
MIDDLE: Final = 128
UNIT: Final = 24
"""The mean of a spectrogram, and a standard deviation."""
SAMPLE: Final = 1000
"""Rate and length that fit are decided by so many training sounds."""


class BadSound(Exception):
    """These bytes are no sound that can be used."""


def is_wav(start: bytes) -> bool:
    """Say whether a file that begins with ``start`` says of itself that it is a WAV file."""
    return start[:4] == b"RIFF" and start[8:MAGIC_BYTES] == b"WAVE"


@contextmanager
def opened(data: bytes | None) -> Iterator[soundfile.SoundFile]:
    """Open a WAV file within the limits. Raises `BadSound`."""
    if data is None:
        raise BadSound("there is no sound")
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.SoundFileError as error:
        raise BadSound(f"this is no WAV file: {error}") from None
    with file:
        if file.format not in FORMATS:
            raise BadSound(f"this is no WAV file but {file.format}")
        if file.samplerate not in RATES:
            raise BadSound(
                f"it has {file.samplerate} samples a second; {RATES[0]:,} to {RATES[-1]:,} are read"
            )
        if file.channels > MAX_CHANNELS:
            raise BadSound(f"it has {file.channels} channels; at most {MAX_CHANNELS} are read")
        if file.frames > MAX_SECONDS * file.samplerate:
            raise BadSound(
                f"it takes {file.frames / file.samplerate:.0f} s; at most {MAX_SECONDS} s are read"
            )
        if not file.frames:
            raise BadSound("it is empty")
        yield file


class AudioEncoder(BaseModel):
    """Log-mel spectrograms, shape (height, width, 1), uint8: bands by frames.

    ``input``: the name by which networks know them. ``rate``: samples a second that sounds are brought to;
    ``shift_ms``: from one frame to the next. Of a sound that is longer than ``width`` frames the rest is left
    out; a shorter one is followed by silence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: ClassVar[str] = "spectrogram"

    kind: Literal["audio"] = "audio"
    column: str
    type: Literal["audio"] = "audio"
    rate: int
    shift_ms: float
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one spectrogram."""
        return self.height, self.width, 1

    def encode(self, values: pa.Array) -> tuple[NDArray[np.uint8], dict[int, str]]:
        """Return spectrograms, shape (n, height, width, 1), and why rows are zeros that have no sound."""
        pixels = np.zeros((len(values), *self.shape), np.uint8)
        problems: dict[int, str] = {}
        for row, value in enumerate(values.to_pylist()):
            try:
                pixels[row] = self.decode(value)
            except BadSound as error:
                problems[row] = f"column {self.column!r}: {error}"
        return pixels, problems

    def decode(self, data: bytes | None) -> NDArray[np.uint8]:
        """Return the spectrogram of one WAV file. Raises `BadSound`."""
        samples = self._samples(data)
        options = fbank.FbankOptions()
        options.frame_opts.samp_freq = self.rate
        options.frame_opts.dither = 0.0
        options.frame_opts.snip_edges = False
        options.frame_opts.frame_shift_ms = self.shift_ms
        options.frame_opts.frame_length_ms = self.shift_ms * FRAME_MS / SHIFT_MS
        options.mel_opts.num_bins = self.height
        options.mel_opts.debug_mel = False
        spectrum = fbank.OnlineFbank(options)
        spectrum.accept_waveform(self.rate, samples.tolist())
        spectrum.input_finished()
        count = min(spectrum.num_frames_ready, self.width)
        pixels = np.zeros(self.shape, np.uint8)
        if count and samples.any():
            logs = np.stack([spectrum.get_frame(i) for i in range(count)], axis=1).astype(np.float64)
            levels = np.maximum(logs, logs.max() - RANGE_DB * math.log(10) / 10)
            standard = (levels - levels.mean()) / max(levels.std(), 1e-9)
            pixels[:, :count, 0] = np.rint(np.clip(MIDDLE + UNIT * standard, 0, 255))
        return pixels

    def _samples(self, data: bytes | None) -> NDArray[np.float32]:
        """Return one channel at ``rate``: the mean of all."""
        with opened(data) as file:
            found = file.samplerate
            # What is behind the last frame is not looked at; the spectrum needs a frame more.
            wanted = math.ceil((self.width + 3) * self.shift_ms / 1000 * found)
            try:
                samples = file.read(min(wanted, file.frames), dtype="float32", always_2d=True).mean(axis=1)
            except soundfile.SoundFileError as error:
                raise BadSound(f"the sound cannot be decoded: {error}") from None
        if not np.isfinite(samples).all():
            raise BadSound("it holds samples that are no finite numbers")
        if found != self.rate:
            common = math.gcd(found, self.rate)
            samples = resample_poly(samples, self.rate // common, found // common).astype(np.float32)
        return np.asarray(samples)


class AudioFitting:
    """Rates and lengths of training sounds, as far as they were seen."""

    def __init__(self, column: str, size: tuple[int, int] | None) -> None:
        self.column = column
        self._size = size
        self._rates: list[int] = []
        self._seconds: list[float] = []

    def add(self, values: pa.Array) -> None:
        """Take note of more values: their headers, up to a sample."""
        for value in values[: max(SAMPLE - len(self._rates), 0)]:
            try:
                with opened(value.as_py()) as file:
                    self._rates.append(file.samplerate)
                    self._seconds.append(file.frames / file.samplerate)
            except BadSound:
                continue

    def encoder(self) -> AudioEncoder:
        """Return the fitted encoder: the median rate, room for the longest sound.

        With a size (bands, frames) that was asked for, the frames are as far apart as that takes. Raises
        `BadData` when no sound could be read.
        """
        if not self._rates:
            raise BadData(f"Column {self.column!r} has no readable WAV file among the training rows.")
        rate = min(int(np.median(self._rates)), MAX_RATE)
        longest_ms = 1000 * max(self._seconds)
        bands, frames = self._size or (BANDS, min(max(math.ceil(longest_ms / SHIFT_MS), 4), MAX_FRAMES))
        shift_ms = max(SHIFT_MS, math.ceil(longest_ms / frames))
        return AudioEncoder(column=self.column, rate=rate, shift_ms=shift_ms, height=bands, width=frames)


def spectrogram(data: bytes, side: int) -> NDArray[np.uint8]:
    """Return the picture of a whole sound, shape (side, side), low bands at the bottom. Raises `BadSound`."""
    fitting = AudioFitting("", (side, side))
    fitting.add(pa.array([data]))
    pixels: NDArray[np.uint8] = fitting.encoder().decode(data)[::-1, :, 0]
    return pixels
