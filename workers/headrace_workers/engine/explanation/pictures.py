"""Heat maps as pictures, and as numbers small enough to be sent."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHOWN_SIDE = 112
"""Pixels of the longer side of a picture at least; small images are enlarged by a whole factor."""

MOST_VALUES = 64
"""Values of one side of a heat map at most; larger ones are summed in blocks."""

FOR, AGAINST = (205, 24, 24), (24, 72, 205)
PAPER = 255
FADED = 0.15
"""What is left of the image's own contrast below the colours."""


def values(heat: NDArray[np.float64]) -> list[list[float]]:
    """Return a heat map, shape (height, width), as numbers; what is summed stays the sum of all."""
    block = -(-max(heat.shape) // MOST_VALUES)
    height, width = (-(-side // block) for side in heat.shape)
    padded = np.zeros((height * block, width * block))
    padded[: heat.shape[0], : heat.shape[1]] = heat
    sums = padded.reshape(height, block, width, block).sum(axis=(1, 3))
    return [[float(f"{value:.3g}") for value in row] for row in sums]


def plain(pixels: NDArray[np.uint8]) -> str:
    """Return an image, shape (height, width, channels), as a data URL."""
    return _url(_enlarged(pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)))


def heated(pixels: NDArray[Any], heat: NDArray[np.float64]) -> str:
    """Return an image, faded, with what speaks for the class in red and what speaks against it in blue.

    The strongest colour is that of the largest value.
    """
    grey = pixels.astype(np.float64).mean(axis=2)
    back = PAPER - FADED * (PAPER - grey)
    largest = float(np.abs(heat).max())
    share = np.abs(heat) / largest if largest > 0 else np.zeros_like(heat)
    colour = np.where((heat > 0)[..., None], np.array(FOR), np.array(AGAINST))
    # The root, so that what is a tenth of the strongest can be seen.
    mixed = back[..., None] + np.sqrt(share)[..., None] * (colour - back[..., None])
    return _url(_enlarged(mixed.round().astype(np.uint8)))


def _enlarged(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = -(-SHOWN_SIDE // max(rgb.shape[:2]))
    found: NDArray[np.uint8] = rgb.repeat(factor, axis=0).repeat(factor, axis=1)
    return found


def _url(rgb: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
