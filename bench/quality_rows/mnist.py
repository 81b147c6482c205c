"""MNIST: 60,000 handwritten digits to learn from, 10,000 of other hands to test."""

from __future__ import annotations

import runpy
from collections.abc import Iterator

from bench.data import HERE
from bench.images import compare, images
from bench.tables import Result

from headrace.client import Client

TUNED = {"dense": [128], "dropout": 0.4, "epochs": 8, "schedule": "cosine"}
LEAST = 0.99


def run(client: Client) -> Iterator[Result]:
    """Yield the rows of this data set."""
    fetch = runpy.run_path(str(HERE.parent / "examples" / "make_digits.py"))["fetch_mnist"]
    yield from compare(client, images("mnist", fetch), TUNED, LEAST)
