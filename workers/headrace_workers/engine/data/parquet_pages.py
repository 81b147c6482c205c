"""How much memory the pages of a Parquet file ask for, read from their headers before anything is unpacked.

The footer says how large a column chunk is, but what Arrow allocates is what each page's own header says, and
a few bytes may unpack to gigabytes. So the headers are walked as Arrow will walk them: it refuses a page that
unpacks to more than its header's figure, which makes these figures bounds. Only the fields wanted here are
read of the header, a struct in Thrift's compact protocol (parquet-format, PageHeader).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from headrace.errors import BadData

MAX_PAGE_BYTES: Final = 64 << 20
MAX_PAGE_VALUES: Final = 1 << 24
MAX_DICTIONARY_BYTES: Final = 16 << 20
"""Arrow keeps 16 bytes for each value of a dictionary of strings, which may take 4 in the page."""
_HEADER_BYTES: Final = (256, 64 << 10)
"""Headers take some 50 bytes; with statistics of long strings some thousands."""
_DATA, _INDEX, _DICTIONARY, _DATA_V2 = range(4)
_MAX_DEPTH: Final = 8


@dataclass(kw_only=True)
class Chunk:
    """The pages of one column chunk: the bytes of the largest ones, and how many a value takes at most."""

    pages: int = 0
    dictionary_bytes: int = 0
    largest_bytes: int = 0
    bytes_per_value: float = 0.0
    values: int = 0
    largest_values: int = 0


def read_chunk(file: BinaryIO, start: int, length: int) -> Chunk:
    """Return what the page headers in ``length`` bytes from ``start`` say. Raises `BadData`."""
    chunk, place, end = Chunk(), start, start + length
    while place < end:
        page = _header(file, place, end)
        chunk.pages += 1
        place += page.header_bytes + page.packed
        most = MAX_DICTIONARY_BYTES if page.type == _DICTIONARY else MAX_PAGE_BYTES
        if not (0 <= page.unpacked <= most and 0 <= page.values <= MAX_PAGE_VALUES):
            raise BadData(
                f"it has a page of {page.unpacked:,} bytes and {page.values:,} values; at most "
                f"{most >> 20} MiB and {MAX_PAGE_VALUES:,} values are read"
            )
        if page.packed < 0 or place > end:
            raise BadData("its pages do not fit into it; the file is damaged")
        if page.type == _DICTIONARY:
            chunk.dictionary_bytes = max(chunk.dictionary_bytes, page.unpacked)
        elif page.type in (_DATA, _DATA_V2):
            chunk.largest_bytes = max(chunk.largest_bytes, page.unpacked)
            chunk.largest_values = max(chunk.largest_values, page.values)
            chunk.bytes_per_value = max(chunk.bytes_per_value, page.unpacked / max(1, page.values))
            chunk.values += page.values
    return chunk


def _header(file: BinaryIO, place: int, end: int) -> _Page:
    for size in _HEADER_BYTES:
        file.seek(place)
        try:
            return _Compact(file.read(min(size, end - place))).page()
        except IndexError:
            continue
    raise BadData("a page's header in it is damaged or longer than 64 KiB")


@dataclass(kw_only=True)
class _Page:
    type: int = -1
    unpacked: int = -1
    packed: int = -1
    values: int = 0
    header_bytes: int = 0


class _Compact:
    """Thrift's compact protocol, as far as it is needed to find integers and pass over the rest.

    Its methods raise IndexError where the data ends too early, and `BadData` where it is broken.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def page(self) -> _Page:
        page = _Page()
        for field, kind in self._fields():
            if field == 1 and kind == 5:
                page.type = self._zigzag()
            elif field == 2 and kind == 5:
                page.unpacked = self._zigzag()
            elif field == 3 and kind == 5:
                page.packed = self._zigzag()
            elif field in (5, 7, 8) and kind == 12:
                page.values = self._values()
            else:
                self._skip(kind, 0)
        page.header_bytes = self._place
        if page.type < 0 or page.packed < 0:
            raise BadData("a page's header in it is damaged")
        return page

    def _values(self) -> int:
        """Return field 1 of a struct, which is ``num_values`` in the headers of every kind of page."""
        values = -1
        for field, kind in self._fields():
            if field == 1 and kind == 5:
                values = self._zigzag()
            else:
                self._skip(kind, 0)
        return values

    def _fields(self) -> Iterator[tuple[int, int]]:
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            yield field, head & 15

    def _skip(self, kind: int, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise BadData("a page's header in it is damaged")
        if kind in (1, 2):
            return
        if kind == 3:
            self._byte()
        elif kind in (4, 5, 6):
            self._varint()
        elif kind == 7:
            self._forward(8)
        elif kind == 8:
            self._forward(self._varint())
        elif kind in (9, 10):
            head = self._byte()
            count = self._varint() if head >> 4 == 15 else head >> 4
            for _ in range(count):
                # The elements of a list of booleans take a byte each.
                self._skip(3 if head & 15 in (1, 2) else head & 15, depth + 1)
        elif kind == 12:
            for _, inner in self._fields():
                self._skip(inner, depth + 1)
        else:
            raise BadData("a page's header in it is damaged")

    def _byte(self) -> int:
        value = self._data[self._place]
        self._place += 1
        return value

    def _forward(self, count: int) -> None:
        self._place += count
        if self._place > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise BadData("a page's header in it is damaged")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
