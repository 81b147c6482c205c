"""The zip that a ``.keras`` file is: three members, stored as they are, and a config that is JSON."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from headrace.errors import BadData
from headrace.specs import keras_file
from headrace_workers.engine import archive

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
MEMBERS = frozenset({METADATA, CONFIG, WEIGHTS})
MAX_JSON_BYTES = 512 * 1024
"""Of metadata and config; a network of a few hundred layers takes less."""

MAX_WEIGHTS_BYTES = 2 * 1024**3
"""Weights of 100,000,000 parameters, an optimizer's state of twice as many beside them, and some room."""

COPY_BYTES = 1 << 20


class Upload(NamedTuple):
    """``config``: the network as Keras writes it; ``weights``: the HDF5 file, copied out, not looked at."""

    config: dict[str, Any]
    keras_version: str
    weights: Path


def read(path: Path, folder: Path) -> Upload:
    """Return what the file at ``path`` holds; its weights are copied into ``folder``. Raises `BadData`."""
    with path.open("rb") as file:
        problem = keras_file.wrong_start(file.read(keras_file.HEAD))
    if problem:
        raise BadData(f"The upload is refused: {problem}.")
    with archive.open_zip(path) as source:
        try:
            return _members(source, folder)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
            raise BadData(f"The .keras file cannot be unpacked: {str(error)[:200]}") from None


def _members(source: zipfile.ZipFile, folder: Path) -> Upload:
    infos = {info.filename: info for info in source.infolist()}
    if infos.keys() != MEMBERS:
        others = [name for name in infos if name not in MEMBERS]
        found = f"holds {others[0][:100]!a}" if others else f"lacks {min(MEMBERS - infos.keys())}"
        raise BadData(f"A .keras file has the members {', '.join(sorted(MEMBERS))}; this one {found}.")
    for name, info in infos.items():
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BadData(f"The .keras file's {name} is a link or a device, not a file.")
        most = MAX_WEIGHTS_BYTES if name == WEIGHTS else MAX_JSON_BYTES
        if info.file_size > most:
            raise BadData(
                f"The .keras file's {name} has {info.file_size:,} bytes, at most {most:,} are read."
            )
    config, metadata = (_json(source, name) for name in (CONFIG, METADATA))
    weights = folder / "uploaded.h5"
    with source.open(WEIGHTS) as data, weights.open("xb") as out:
        shutil.copyfileobj(data, out, COPY_BYTES)
    return Upload(config, str(metadata.get("keras_version", ""))[:50], weights)


def _json(source: zipfile.ZipFile, name: str) -> dict[str, Any]:
    try:
        found = json.loads(source.read(name).decode())
        # Neither what is not finite nor half a surrogate pair nor NUL has a place in a database.
        written = json.dumps(found, allow_nan=False, ensure_ascii=False).encode().decode()
        if "\\u0000" in written:
            raise ValueError("NUL")
    except (ValueError, RecursionError):
        raise BadData(f"The .keras file's {name} is no readable JSON.") from None
    if not isinstance(found, dict):
        raise BadData(f"The .keras file's {name} is no JSON object.")
    return found
