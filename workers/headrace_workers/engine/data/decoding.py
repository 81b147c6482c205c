"""Encoded rows back to columns: what `Preprocessing.encode` does, the other way, as far as that goes.

A row that a model has made is none that was encoded: its numbers are between levels and pixels. Of levels the
likeliest is taken, numbers of an integer column are rounded, and a value is missing where its flag, or the
level for missing values, says so rather than not.
"""

from __future__ import annotations

import io
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.encoders import CategoryEncoder, NumberEncoder, TimestampEncoder
from headrace_workers.engine.data.images import ImageEncoder
from headrace_workers.engine.data.preprocessing import IMAGE, TABLE, Preprocessing

WHITE = 255
DAY_US = 86_400_000_000
MISSING = 0.5
LARGEST = 2.0**63 - 1024
"""The largest float that is a 64-bit integer."""


def decode(columns: Preprocessing, flat: NDArray[np.floating]) -> dict[str, pa.Array]:
    """Return a column for each feature of ``flat``, shape (n, values of a row), all inputs one after another.

    Pixels are from 0 to 1; an image becomes a PNG file.
    """
    parts, start = {}, 0
    for name, spec in columns.inputs.items():
        size = prod(spec.shape)
        parts[name] = flat[:, start : start + size].astype(np.float64)
        start += size
    found, start = {}, 0
    for encoder in columns.encoders:
        if isinstance(encoder, ImageEncoder):
            found[encoder.column] = _images(parts[IMAGE], encoder)
            continue
        assert isinstance(encoder, NumberEncoder | CategoryEncoder | TimestampEncoder), "no text is drawn"
        values = parts[TABLE][:, start : start + encoder.width]
        start += encoder.width
        found[encoder.column] = _column(values, encoder)
    return found


def _column(values: NDArray[np.float64], encoder: Any) -> pa.Array:
    if isinstance(encoder, CategoryEncoder):
        # Without the last: no value is one that was never seen.
        best = values[:, :-1].argmax(axis=1)
        return pa.array([*encoder.levels, None], pa.string()).take(pa.array(best))
    if isinstance(encoder, TimestampEncoder):
        days, missing = _numbers(values[:, : encoder.days.width], encoder.days)
        micros = np.rint(days * DAY_US).astype(np.int64)
        return pa.array(micros, pa.int64(), mask=missing).cast(ARROW_TYPES["timestamp"])
    numbers, missing = _numbers(values, encoder)
    if encoder.type == "boolean":
        return pa.array(numbers > MISSING, pa.bool_(), mask=missing)
    if encoder.type == "integer":
        whole = np.clip(np.rint(numbers), -LARGEST, LARGEST).astype(np.int64)
        return pa.array(whole, pa.int64(), mask=missing)
    return pa.array(numbers, pa.float64(), mask=missing)


def _numbers(
    values: NDArray[np.float64], encoder: NumberEncoder
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    missing = values[:, 1] > MISSING if encoder.flag else np.zeros(len(values), np.bool_)
    return values[:, 0] * encoder.scale + encoder.mean, missing


def _images(values: NDArray[np.float64], encoder: ImageEncoder) -> pa.Array:
    pixels = np.rint(np.clip(values, 0, 1) * WHITE).astype(np.uint8).reshape(-1, *encoder.shape)
    return pa.array([_png(image) for image in pixels], pa.binary())


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
