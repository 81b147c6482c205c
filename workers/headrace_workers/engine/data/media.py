"""The media that an archive may hold, one file a row: images and sounds, each with a check of its files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import soundfile
from PIL import Image, UnidentifiedImageError

from headrace.errors import BadData
from headrace_workers.engine.data import audio

MAX_PIXELS: Final = 40_000_000
IMAGE_FORMATS: Final = ("PNG", "JPEG")


@dataclass(frozen=True)
class Medium:
    """One kind of file: the column that holds it, of a type of the same name, and the check of a file.

    ``check`` is given the file's name and its bytes, and raises `BadData` unless they are sound as a whole.
    """

    column: Literal["image", "audio"]
    plural: str
    check: Callable[[str, bytes], None]


def of(start: bytes) -> Medium:
    """Return the medium of a file that begins with ``start``, of `audio.MAGIC_BYTES` bytes."""
    return SOUNDS if audio.is_wav(start) else IMAGES


def _check_image(name: str, data: bytes) -> None:
    """Raise `BadData` unless ``data`` decodes as a whole as PNG or JPEG within the limit of pixels."""
    try:
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            width, height = image.size
            if width * height <= MAX_PIXELS:
                image.load()
                return
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise BadData(f"{name!r} is neither PNG nor JPEG") from None
    except Exception as error:
        # Pillow's decoders raise whatever a broken file leads them to: OSError, SyntaxError, struct.error, …
        raise BadData(f"{name!r} is a broken image: {error}") from None
    raise BadData(f"{name!r} has {width} by {height} pixels; at most {MAX_PIXELS:,} are read")


def _check_sound(name: str, data: bytes) -> None:
    """Raise `BadData` unless ``data`` is a WAV file within the limits, of finite samples."""
    try:
        with audio.opened(data) as file:
            for block in file.blocks(audio.BLOCK_FRAMES, dtype="float32"):
                if not np.isfinite(block).all():
                    raise audio.BadSound("it holds samples that are no finite numbers")
    except audio.BadSound as error:
        raise BadData(f"{name!r} cannot be used: {error}") from None
    except soundfile.SoundFileError as error:
        raise BadData(f"{name!r} is a broken WAV file: {error}") from None


IMAGES: Final = Medium("image", "images", _check_image)
SOUNDS: Final = Medium("audio", "WAV files", _check_sound)
