"""Images as they were uploaded, of any size and mode, to pixels of one size."""

from __future__ import annotations

import io
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict

from headrace.errors import BadData

FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 50_000_000
SAMPLE = 1000
"""The size that fits is decided by so many training images."""

LONGEST_SIDE = 128
GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L"})


class BadImage(Exception):
    """These bytes are no image that can be used."""


class ImageEncoder(BaseModel):
    """Pixels from 0 to 255, shape (height, width, channels), uint8; transparency on white.

    ``input``: the name by which networks know them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: ClassVar[str] = "image"

    kind: Literal["image"] = "image"
    column: str
    type: Literal["image"] = "image"
    height: int
    width: int
    channels: Literal[1, 3]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image."""
        return self.height, self.width, self.channels

    def encode(self, values: pa.Array) -> tuple[NDArray[np.uint8], dict[int, str]]:
        """Return pixels, shape (n, height, width, channels), and why rows are zeros that have no image."""
        pixels = np.zeros((len(values), *self.shape), np.uint8)
        problems: dict[int, str] = {}
        for row, value in enumerate(values.to_pylist()):
            try:
                pixels[row] = self.decode(value)
            except BadImage as error:
                problems[row] = f"column {self.column!r}: {error}"
        return pixels, problems

    def decode(self, data: bytes | None) -> NDArray[np.uint8]:
        """Return the pixels of one image. Raises `BadImage`."""
        image = _open(data)
        try:
            if image.format == "JPEG":
                image = ImageOps.exif_transpose(image)
            image = in_mode(image, "L" if self.channels == 1 else "RGB")
            if image.size != (self.width, self.height):
                image = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
            # Half the time of np.asarray, which asks Pillow for the same bytes in a roundabout way.
            return np.frombuffer(image.tobytes(), np.uint8).reshape(self.shape)
        # The decoders raise whatever broken bytes lead them to.
        except Exception as error:
            raise BadImage(f"the image cannot be decoded: {error}") from None


class ImageFitting:
    """Sizes and modes of training images, as far as they were seen."""

    def __init__(self, column: str, size: tuple[int, int] | None, channels: int | None) -> None:
        self.column = column
        self._size = size
        self._channels = channels
        self._sizes: list[tuple[int, int]] = []
        self._colour = False

    def add(self, values: pa.Array) -> None:
        """Take note of more values: their headers, up to a sample."""
        for value in values[: max(SAMPLE - len(self._sizes), 0)]:
            try:
                image = _open(value.as_py())
            except BadImage:
                continue
            self._sizes.append((image.height, image.width))
            self._colour |= image.mode not in GREY_MODES

    def encoder(self) -> ImageEncoder:
        """Return the fitted encoder. Raises `BadData` when no image could be read."""
        if not self._sizes:
            raise BadData(
                f"Column {self.column!r} has no readable PNG or JPEG image among the training rows."
            )
        height, width = self._size or self._median_size()
        channels: Any = self._channels or (3 if self._colour else 1)
        return ImageEncoder(column=self.column, height=height, width=width, channels=channels)

    def _median_size(self) -> tuple[int, int]:
        height, width = np.median(np.array(self._sizes), axis=0).tolist()
        shrink = min(1.0, LONGEST_SIDE / max(height, width))
        return max(round(height * shrink), 4), max(round(width * shrink), 4)


def _open(data: bytes | None) -> Image.Image:
    if data is None:
        raise BadImage("there is no image")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise BadImage(f"this is no PNG or JPEG image: {error}") from None
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(
            f"the image has {image.width} by {image.height} pixels, {MAX_PIXELS:,} at most are taken"
        )
    return image


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Return ``image`` in ``mode``, L or RGB: 16 bits scaled to 8, what is transparent on white."""
    if image.mode == mode:
        return image
    if image.mode.startswith("I"):
        # 16 bits per pixel, which Pillow would cut off at 255 instead of scaling.
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image.convert(mode)
