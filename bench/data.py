"""MNIST for the benches, fetched once into `bench/.data` with `npm pack`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
FOLDER = HERE / ".data"


class Mnist(NamedTuple):
    """The same rows twice: ``arrays`` for a script (an .npz), ``images`` for an upload (a zip of folders)."""

    arrays: Path
    images: Path
    train_rows: int
    test_rows: int


def mnist(train_rows: int, test_rows: int) -> Mnist:
    """Return the files with ``train_rows`` and ``test_rows`` of MNIST, made when missing.

    Both are drawn at random from its two parts together, as a job's random split draws them.
    """
    found = Mnist(
        FOLDER / f"mnist-{train_rows}.npz", FOLDER / f"mnist-{train_rows}.zip", train_rows, test_rows
    )
    if not (found.arrays.exists() and found.images.exists()):
        _make(found)
    return found


def _make(wanted: Mnist) -> None:
    FOLDER.mkdir(exist_ok=True)
    make_digits = runpy.run_path(str(HERE.parent / "examples" / "make_digits.py"))
    parts = [make_digits["fetch_mnist"](part) for part in ("train", "t10k")]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    chosen = np.random.default_rng(0).permutation(len(x))[: wanted.train_rows + wanted.test_rows]
    make_digits["write_zip"](wanted.images, x, y, chosen)
    train, test = chosen[: wanted.train_rows], chosen[wanted.train_rows :]
    np.savez(wanted.arrays, x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test])
