"""Zip files of images or sounds in one folder per label, as Arrow batches; nothing is unpacked to disk.

A member is ``label/file`` or, where one folder encloses everything, ``folder/label/file``. Rows come in the
order of paths, by code point. All are of one medium, that of the first. The archive's own figures are never
trusted: what bounds memory and time is counted while reading. Dotfiles and ``__MACOSX`` are passed over, but
their names must be safe too.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace_workers.engine.data import audio, media
from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.reasons import ASKED

MAX_MEMBERS: Final = 200_000
MAX_DIRECTORY_BYTES: Final = 24 << 20
"""Of the archive's own list of members, which is read as a whole."""
MAX_MEMBER_BYTES: Final = 32 << 20
MAX_TOTAL_BYTES: Final = 16 << 30
MAX_RATIO: Final = 100
"""Of the bytes of all files to those of the archive. Media hardly shrink."""
MAX_NAME: Final = 1000
BATCH_ROWS: Final = 8192
BATCH_BYTES: Final = 16 << 20
LABEL: Final = "label"
LABEL_TYPES: Final[tuple[ColumnType, ...]] = ("category", "text")
_READ_BYTES: Final = 1 << 20
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` raises for a broken archive, by experiment."""
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class MediaZip:
    """An archive of images or sounds, checked by its list of members.

    ``types`` are those of its two columns; ``fraction`` is how much of it has been read, by members.
    """

    def __init__(self, path: Path, types: Mapping[str, ColumnType]) -> None:
        """Read the list of members.

        Raises `BadData` that names the first one that breaks a rule, or what ``types`` asks for in vain.
        """
        self._path = path
        self._archive_bytes = path.stat().st_size
        self._bytes_read = 0
        with self._opened() as archive:
            self._members = _members(archive)
            self._medium = media.of(self._read(archive, self._members[0][1], audio.MAGIC_BYTES))
        column = self._medium.column
        allowed = {column: (column,), LABEL: LABEL_TYPES}
        for name, type_ in types.items():
            if type_ not in allowed.get(name, ()):
                raise BadData(
                    f"types: an archive of {self._medium.plural} has the columns {column} ({column}) and "
                    f"{LABEL} ({' or '.join(LABEL_TYPES)}), not {name[:100]} ({type_})"
                )
        self.types: dict[str, ColumnType] = {column: column, LABEL: "category", **types}
        self.reasons = {column: "a file of each folder", LABEL: "the name of the file's folder"}
        self.reasons |= dict.fromkeys(types, ASKED)
        self.fraction = 0.0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield every file, its bytes as they are, with its label.

        Raises `BadData` that names the member which is broken, of another medium, or exceeds a limit.
        """
        medium = self._medium
        schema = pa.schema([(medium.column, ARROW_TYPES[medium.column]), (LABEL, ARROW_TYPES["category"])])
        files: list[bytes] = []
        labels: list[str] = []
        held = 0
        with self._opened() as archive:
            for done, (label, info) in enumerate(self._members, start=1):
                data = self._read(archive, info)
                medium.check(info.filename, data)
                files.append(data)
                labels.append(label)
                held += len(data)
                if len(files) == BATCH_ROWS or held >= BATCH_BYTES or done == len(self._members):
                    self.fraction = done / len(self._members)
                    yield pa.RecordBatch.from_arrays(
                        [pa.array(files, schema.field(0).type), pa.array(labels)], schema=schema
                    )
                    files, labels, held = [], [], 0

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        with _BoundedFile(self._path) as file:
            try:
                archive = zipfile.ZipFile(file)
            except _BROKEN as error:
                raise BadData(f"the file cannot be read as a zip archive: {error}") from None
            with archive:
                yield archive

    def _read(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int | None = None) -> bytes:
        """Return the member, or its first ``most`` bytes."""
        found = bytearray()
        try:
            with archive.open(info) as member:
                if most is not None:
                    return member.read(most)
                while chunk := member.read(_READ_BYTES):
                    found += chunk
                    self._bytes_read += len(chunk)
                    self._check_limits(info.filename, len(found))
        except _BROKEN as error:
            raise BadData(f"{info.filename!r} cannot be read from the archive: {error}") from None
        return bytes(found)

    def _check_limits(self, name: str, member_bytes: int) -> None:
        if member_bytes > MAX_MEMBER_BYTES:
            raise BadData(f"{name!r} is larger than {MAX_MEMBER_BYTES >> 20} MiB")
        if self._bytes_read > MAX_TOTAL_BYTES:
            raise BadData(f"the archive holds more than {MAX_TOTAL_BYTES >> 30} GiB; {name!r} exceeds it")
        if self._bytes_read > MAX_RATIO * self._archive_bytes:
            raise BadData(
                f"the archive unpacks to more than {MAX_RATIO} times its size, at {name!r}; media do not"
            )


class _BoundedFile(io.FileIO):
    """A file that refuses to be read in large pieces or outside of itself, as forged figures ask for."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError:
            raise zipfile.BadZipFile("a position in it lies outside of the file") from None

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > MAX_DIRECTORY_BYTES:
            raise BadData(f"the archive's list of members is larger than {MAX_DIRECTORY_BYTES >> 20} MiB")
        return super().read(size) or b""


def _members(archive: zipfile.ZipFile) -> list[tuple[str, zipfile.ZipInfo]]:
    """Return the files in order, each with its label. Raises `BadData`."""
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise BadData(f"the archive has {len(infos)} members; at most {MAX_MEMBERS} are read")
    seen = set[str]()
    found: list[tuple[list[str], zipfile.ZipInfo]] = []
    for info in infos:
        _check_member(info)
        if info.filename in seen:
            raise BadData(f"{info.filename!r} is twice in the archive")
        seen.add(info.filename)
        parts = info.filename.split("/")
        if not info.is_dir() and not any(p.startswith(".") or p == "__MACOSX" for p in parts):
            found.append((parts, info))
    if not found:
        raise BadData(
            "the archive holds no files; it should hold one folder of images or WAV files per label"
        )
    enclosed = all(len(parts) == 3 for parts, _ in found) and len({parts[0] for parts, _ in found}) == 1
    depth = 3 if enclosed else 2
    for parts, info in found:
        if len(parts) != depth:
            raise BadData(f"{info.filename!r} is not in a label's folder; members should be label/file")
    found.sort(key=lambda member: member[1].filename)
    return [(parts[-2], info) for parts, info in found]


def _check_member(info: zipfile.ZipInfo) -> None:
    """Raise `BadData` where the member's name or kind is not one of a plain file or folder."""
    # The name as stored: zipfile's own is cut at a NUL.
    name = info.orig_filename
    shown = repr(name if len(name) <= 200 else name[:200] + "…")
    if not name.isprintable():
        raise BadData(f"the name {shown} holds control characters")
    if len(name) > MAX_NAME:
        raise BadData(f"the name {shown} is longer than {MAX_NAME} characters")
    if "\\" in name:
        raise BadData(f"the name {shown} holds a backslash; folders are separated by /")
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise BadData(f"{shown} is not a plain relative path")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BadData(f"{shown} is a link or a special file; only plain files are read")
    if info.flag_bits & _ENCRYPTED:
        raise BadData(f"{shown} is encrypted")
    if info.compress_type not in _METHODS:
        raise BadData(f"{shown} is compressed by a method other than deflate")
