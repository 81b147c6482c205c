"""Zip files of which equal contents give equal bytes, read with every limit checked."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from headrace.errors import BadData

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can tell."""


def write(path: Path, members: Mapping[str, Path | bytes]) -> None:
    """Write ``members`` to a zip at ``path``: sorted by name, not compressed, without times or owners."""
    with zipfile.ZipFile(path, "w") as target:
        for name in sorted(members):
            source = members[name]
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            if isinstance(source, bytes):
                target.writestr(info, source)
            else:
                info.file_size = source.stat().st_size
                with source.open("rb") as data, target.open(info, "w") as member:
                    shutil.copyfileobj(data, member, 1 << 20)


def open_zip(source: Path | BinaryIO, max_members: int = 100) -> zipfile.ZipFile:
    """Open a zip, none of whose members is compressed, linked, nested in a folder, or there twice.

    Stored members take no more room than the file itself, so that no bomb fits in. Raises `BadData`.
    """
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError) as error:
        raise BadData(f"This is not a readable zip file: {error}") from None
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(names) > max_members or len(set(names)) != len(names):
        raise BadData(f"The zip file has {len(names)} members; up to {max_members} different ones are right.")
    for info in infos:
        plain = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not plain or "/" in info.filename or "\\" in info.filename or info.filename in ("", ".", ".."):
            raise BadData(f"The zip file's member {info.filename[:100]!r} is not a plain stored file.")
    return archive
