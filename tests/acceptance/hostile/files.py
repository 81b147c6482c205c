"""What all makers of hostile uploads share."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

CSV = "text/csv"
NDJSON = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"
ZIP = "application/zip"

Content = bytes | Callable[[Path], None]


class Case(NamedTuple):
    """An upload: its type, its bytes (or what writes them), and what must come of it.

    ``outcome`` is a part of the reason with which it is refused, a number of rows that it is ingested to, or
    None where both are right.
    """

    media_type: str
    content: Callable[[], bytes] | Callable[[Path], None]
    outcome: str | int | None


class Opened:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self) -> Any:
        return (open, ("/tmp/headrace-hostile-was-here", "w"))


def pickled() -> bytes:
    """Return a pickle that opens a file for writing when it is read."""
    return pickle.dumps(Opened())


def object_array() -> bytes:
    """Return a ``.npy`` file of objects, which NumPy reads by unpickling."""
    data = io.BytesIO()
    np.save(data, np.array([Opened()], dtype=object), allow_pickle=True)
    return data.getvalue()


def image(kind: str = "PNG", size: tuple[int, int] = (16, 16), mode: str = "RGB", **options: Any) -> bytes:
    """Return a sound image of noise."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "CMYK": (4,)}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels, mode=None).convert(mode).save(data, kind, **options)
    return data.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *extra: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """Return a PNG with the given claims, chunks and (packed) data, whatever they are worth."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = b"".join([chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body


def archive(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file of ``members``."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return data.getvalue()


def flipped(data: bytes, seed: int, flips: int = 1, start: int = 0) -> bytes:
    """Return ``data`` with some bits flipped, from ``start`` on."""
    broken, random = bytearray(data), np.random.default_rng(seed)
    for _ in range(flips):
        broken[int(random.integers(start, len(data)))] ^= 1 << int(random.integers(8))
    return bytes(broken)
