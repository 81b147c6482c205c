"""What an uploaded ``.keras`` file is, as far as its first bytes tell. Both ends of an upload ask."""

from __future__ import annotations

MEDIA_TYPE = "application/vnd.keras+zip"

HEAD = 8
"""So many bytes `wrong_start` looks at."""

_ZIP = b"PK\x03\x04"
_OTHERS = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5), which can hold code"),
    (b"\x93NUMPY", "a NumPy array, which can hold pickles"),
    (b"\x1f\x8b", "a gzip file"),
    (b"x\x9c", "a compressed stream, as joblib writes pickles"),
    *((b"\x80" + bytes([protocol]), "a pickle, which runs code when it is read") for protocol in range(2, 6)),
)


def wrong_start(head: bytes) -> str | None:
    """Return why a file that begins with ``head`` is no ``.keras`` file, None where it may be one.

    By content, whatever the file is called.
    """
    if head.startswith(_ZIP):
        return None
    found = next((what for start, what in _OTHERS if head.startswith(start)), "no zip file")
    return f"this is {found}; a .keras file is wanted, as Keras 3 writes it: model.save('name.keras')"
