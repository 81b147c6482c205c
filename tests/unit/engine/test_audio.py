import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from numpy.typing import NDArray

from headrace.errors import BadData
from headrace_workers.engine.data.audio import (
    MAX_FRAMES,
    MIDDLE,
    UNIT,
    AudioEncoder,
    AudioFitting,
    spectrogram,
)

RATE = 8000


def tone(hertz: float, seconds: float = 0.5, rate: int = RATE, loud: float = 0.3, **how: Any) -> bytes:
    samples = loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return wav(samples, rate, **how)


def wav(samples: NDArray[Any], rate: int = RATE, subtype: str = "PCM_16", format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


def fitted(*sounds: bytes | None, size: tuple[int, int] | None = None) -> AudioEncoder:
    fitting = AudioFitting("sound", size)
    fitting.add(pa.array(sounds, pa.large_binary()))
    return fitting.encoder()


def loudest_band(encoder: AudioEncoder, sound: bytes) -> int:
    return int(encoder.decode(sound)[:, 10, 0].argmax())


def test_a_higher_tone_is_in_a_higher_band() -> None:
    encoder = fitted(tone(440))
    bands = [loudest_band(encoder, tone(hertz)) for hertz in (220, 440, 880, 1760, 3520)]
    assert bands == sorted(set(bands))


def test_the_same_sound_of_other_rate_loudness_sample_format_and_channels_is_the_same_picture() -> None:
    encoder = fitted(tone(440))
    expected = encoder.decode(tone(440)).astype(int)
    stereo = np.stack([0.3 * np.sin(2 * np.pi * 440 * np.arange(4000) / RATE)] * 2, axis=1)
    loudest = expected > MIDDLE + UNIT
    # What is far below the tone of a quiet recording is lost, which moves the mean that all is measured from.
    quiet = tone(440, loud=0.03)
    for other in (tone(440, rate=44_100), tone(440, subtype="FLOAT"), wav(stereo), quiet):
        difference = np.abs(encoder.decode(other) - expected)
        assert difference[loudest].max() <= (UNIT / 2 if other is quiet else UNIT / 3)
        assert encoder.decode(other)[:, 10, 0].argmax() == expected[:, 10, 0].argmax()


def test_each_picture_is_standardised_by_itself() -> None:
    encoder = fitted(tone(440))
    noise = np.random.default_rng(0).normal(size=4000)
    for sound in (tone(440), wav(0.01 * noise), wav(0.05 * noise + 0.3 * np.sin(np.arange(4000)))):
        pixels = encoder.decode(sound)
        assert abs(pixels.mean() - MIDDLE) < 1
        assert abs(pixels.std() - UNIT) < 1


def test_length_and_rate_follow_the_training_sounds() -> None:
    encoder = fitted(tone(440, 0.5), tone(440, 0.8), None)
    assert (encoder.rate, encoder.shape, encoder.shift_ms) == (RATE, (64, 80, 1), 10.0)
    assert not encoder.decode(tone(440, 0.4))[:, 60:].any(), "a shorter sound is followed by silence"
    assert encoder.decode(tone(440, 5.0)).shape == encoder.shape
    long = fitted(tone(440, 20.0, rate=48_000))
    assert (long.rate, long.width) == (16_000, MAX_FRAMES)
    assert long.decode(tone(440, 20.0, rate=48_000))[:, 250].any(), "the end of a long sound is seen"
    assert fitted(tone(440), size=(32, 20)).shape == (32, 20, 1)


def test_silence_is_black() -> None:
    assert not fitted(tone(440)).decode(wav(np.zeros(4000))).any()
    assert spectrogram(tone(440), 64).shape == (64, 64)


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (None, "there is no sound"),
        (b"RIFF\0\0\0\0WAVE", "no WAV file"),
        (wav(np.zeros(800), format="FLAC"), "FLAC"),
        (wav(np.zeros(0)), "empty"),
        (wav(np.full(800, np.nan), subtype="FLOAT"), "finite"),
        (wav(np.zeros((800, 33))), "33 channels"),
        (wav(np.zeros(800), rate=500), "500 samples a second"),
        (wav(np.zeros(601_000), rate=1000), "601 s"),
    ],
)
def test_a_row_that_is_no_sound_is_zeros_with_the_reason(sound: bytes | None, said: str) -> None:
    encoder = fitted(tone(440))
    pixels, problems = encoder.encode(pa.array([sound, tone(440)], pa.large_binary()))
    assert not pixels[0].any()
    assert pixels[1].any()
    assert list(problems) == [0]
    assert said in problems[0]
    assert "'sound'" in problems[0]


def test_no_sound_at_all_is_bad_data() -> None:
    with pytest.raises(BadData, match="no readable WAV file"):
        fitted(None, b"x")


def test_the_same_bits_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    make: Callable[[], AudioEncoder] = lambda: fitted(tone(440), tone(880, 0.3))  # noqa: E731
    assert (make().decode(tone(500)) == make().decode(tone(500))).all()
