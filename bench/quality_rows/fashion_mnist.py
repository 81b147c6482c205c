"""Fashion-MNIST (Zalando): 60,000 pictures of ten kinds of clothes to learn from, 10,000 to test."""

from __future__ import annotations

from bench.images import Images, fetch_fashion, images
from bench.images import rows as of
from bench.quality_row import Row


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return of(_images, 0.91, [{"dropout": 0.5}, {"batch_norm": True}])


def _images() -> Images:
    return images("fashion-mnist", fetch_fashion)
