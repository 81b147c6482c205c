"""MNIST: 60,000 handwritten digits to learn from, 10,000 of other hands to test."""

from __future__ import annotations

import runpy

from bench.data import HERE
from bench.images import Images, images
from bench.images import rows as of
from bench.quality_row import Row


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return of(_images, 0.99, [{"dropout": 0.5}, {"batch_norm": True}])


def _images() -> Images:
    fetch = runpy.run_path(str(HERE.parent / "examples" / "make_digits.py"))["fetch_mnist"]
    return images("mnist", fetch)
