"""The first rows of a dataset as JSON, for people to look at."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
from PIL import Image

from headrace_workers.engine.data import audio
from headrace_workers.engine.data.images import GREY_MODES, in_mode

MAX_ROWS: Final = 200
MAX_TOTAL_BYTES: Final = 4 << 20
MAX_CELL_CHARS: Final = 2000
MAX_NUMBERS: Final = 100
THUMBNAIL_PIXELS: Final = 64
_ROUGH_BYTES: Final = 16


class SampleRows:
    """The first `MAX_ROWS` rows, fewer where they are large, with long text and sequences cut short.

    What is cut ends in ``…``; of a sequence, that is its last item.

    An image is shown as ``{"bytes", "width", "height", "mode", "thumbnail"}``, a sound as ``{"bytes",
    "seconds", "rate", "channels", "thumbnail"}``, its spectrogram; the last is a data URL of a PNG
    of at most `THUMBNAIL_PIXELS` a side; a timestamp as RFC 3339 in UTC.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._bytes = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Take what is still wanted from the next batch."""
        wanted = min(len(batch), MAX_ROWS - len(self.rows))
        if self._bytes > MAX_TOTAL_BYTES or not wanted:
            return
        names, columns = batch.schema.names, [_cells(column.slice(0, wanted)) for column in batch.columns]
        for cells in zip(*columns, strict=True):
            row = dict(zip(names, cells, strict=True))
            self.rows.append(row)
            self._bytes += sum(map(len, names)) + sum(map(_size, cells))
            if self._bytes > MAX_TOTAL_BYTES:
                return

    def as_json(self) -> dict[str, Any]:
        """Return ``{"columns": […], "rows": [{…}, …]}``."""
        return {"columns": list(self.rows[0]) if self.rows else [], "rows": self.rows}


def _cells(column: pa.Array) -> Iterable[Any]:
    if pa.types.is_primitive(column.type):
        values = column.to_pylist()
        plain = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
        return values if plain else [json_cell(value) for value in values]
    # One by one and only when wanted, so that a long text beyond the first rows is never a Python string.
    return (json_cell(_plain(cell)) for cell in column)


def _plain(cell: pa.Scalar) -> Any:
    if isinstance(cell, pa.ListScalar) and cell.is_valid:
        # A long one is not made Python objects to be cut then.
        numbers: list[Any] = cell.values.slice(0, MAX_NUMBERS).to_pylist()
        return [*numbers, "…"] if len(cell.values) > MAX_NUMBERS else numbers
    return cell.as_py()


def json_cell(value: Any) -> Any:
    """Return ``value`` (as Arrow's ``as_py`` gives it) as JSON for people."""
    if isinstance(value, str):
        return value if len(value) <= MAX_CELL_CHARS else value[:MAX_CELL_CHARS] + "…"
    if isinstance(value, bytes):
        return _sound(value) if audio.is_wav(value[: audio.MAGIC_BYTES]) else _image(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def rfc3339(time: datetime) -> str:
    """Return ``time`` in UTC with ``Z``, with a fraction only where it has one."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _image(data: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(data)) as image:
        shown: dict[str, Any] = {
            "bytes": len(data),
            "width": image.width,
            "height": image.height,
            "mode": image.mode,
        }
        mode = "L" if image.mode in GREY_MODES else "RGB"
        # Of 16 bits none can be made smaller; of the others, that takes less memory first.
        thumbnail = in_mode(image, mode) if image.mode.startswith("I") else image
        thumbnail.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
        shown["thumbnail"] = _data_url(in_mode(thumbnail, mode))
    return shown


def _sound(data: bytes) -> dict[str, Any]:
    with audio.opened(data) as file:
        shown: dict[str, Any] = {
            "bytes": len(data),
            "seconds": file.frames / file.samplerate,
            "rate": file.samplerate,
            "channels": file.channels,
        }
    shown["thumbnail"] = _data_url(Image.fromarray(audio.spectrogram(data, THUMBNAIL_PIXELS)))
    return shown


def _data_url(thumbnail: Image.Image) -> str:
    png = io.BytesIO()
    thumbnail.save(png, "PNG")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()


def _size(cell: Any) -> int:
    if isinstance(cell, list):
        return _ROUGH_BYTES * len(cell)
    return (
        len(cell)
        if isinstance(cell, str)
        else len(cell["thumbnail"])
        if isinstance(cell, dict)
        else _ROUGH_BYTES
    )
