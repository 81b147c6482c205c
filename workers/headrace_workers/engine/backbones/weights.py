"""The HDF5 file of a ``.keras`` file: read as plain arrays under their paths, and written anew.

HDF5 can link to other files, share and nest without end, compress, load filters as plug-ins, and hold Python
objects. Keras writes none of that: groups and uncompressed arrays of numbers, each by one hard link. Whatever
else is there is refused, sizes are checked before anything is allocated, and attributes are not read.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.errors import BadData
from headrace_workers.engine.architecture.shapes import MAX_PARAMETERS

MAX_OBJECTS = 20_000
MAX_DEPTH = 20
MAX_BYTES = 8 * MAX_PARAMETERS
"""Of all arrays that are read: the largest network, in float64."""

KEPT = "layers"
"""The group of the layers' weights; the state of an optimizer beside it is passed over."""

NAME = re.compile(r"[A-Za-z0-9_.\-]{1,200}")


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays below `KEPT` by their paths. Raises `BadData`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _Walk(file).found
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise BadData(f"The .keras file's weights cannot be read: {str(error)[:200]}") from None


def write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write ``arrays`` under their paths to an HDF5 file at ``path``."""
    import h5py

    with h5py.File(path, "x") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)


class _Walk:
    """All of an open file, looked at once."""

    def __init__(self, file: Any) -> None:
        self.found: dict[str, NDArray[Any]] = {}
        self._seen: set[Any] = set()
        self._bytes = 0
        self._group(file, "", 0)

    def _group(self, group: Any, path: str, depth: int) -> None:
        import h5py

        if depth > MAX_DEPTH:
            raise _refused(path, f"lies deeper than {MAX_DEPTH} groups")
        for name in group:
            below = f"{path}/{name}" if path else name
            if not NAME.fullmatch(name):
                raise _refused(below, "has a name that Keras does not give")
            if type(group.get(name, getlink=True)) is not h5py.HardLink:
                raise _refused(below, "is a link, to another place or another file")
            item = group[name]
            where = h5py.h5o.get_info(item.id)
            if (where.fileno, where.addr) in self._seen or where.rc != 1:
                raise _refused(below, "is linked to more than once")
            self._seen.add((where.fileno, where.addr))
            if len(self._seen) > MAX_OBJECTS:
                raise _refused(below, f"is one of more than {MAX_OBJECTS:,} objects")
            if type(item) is h5py.Group:
                self._group(item, below, depth + 1)
            elif type(item) is h5py.Dataset:
                self._array(item, below)
            else:
                raise _refused(below, "is neither a group nor an array")

    def _array(self, item: Any, path: str) -> None:
        if item.is_virtual or item.external:
            raise _refused(path, "has its values in another file or place")
        if item.dtype.kind not in "fiub" or item.dtype.itemsize > 8 or item.dtype.hasobject:
            raise _refused(path, f"holds {str(item.dtype)[:50]}; weights are numbers")
        if item.shape is None or item.id.get_create_plist().get_nfilters():
            raise _refused(path, "is compressed or empty; Keras writes arrays as they are")
        size = math.prod(item.shape) * item.dtype.itemsize
        if size != item.id.get_storage_size():
            raise _refused(path, f"says that it has {size:,} bytes, but does not hold them")
        if not path.startswith(f"{KEPT}/"):
            return
        self._bytes += size
        if self._bytes > MAX_BYTES:
            raise _refused(path, f"is beyond the {MAX_BYTES:,} bytes of weights that are read")
        values = item[()]
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise _refused(path, "holds values that are not finite")
        self.found[path] = values


def _refused(path: str, reason: str) -> BadData:
    return BadData(f"The .keras file's weights are refused: {path[:200]!a} {reason}.")
