"""Fashion-MNIST (Zalando): 60,000 pictures of ten kinds of clothes to learn from, 10,000 to test."""

from __future__ import annotations

from collections.abc import Iterator

from bench.images import compare, fetch_fashion, images
from bench.tables import Result

from headrace.client import Client

TUNED = {"dense": [128], "dropout": 0.4, "epochs": 10, "batch_norm": True, "schedule": "cosine"}
LEAST = 0.91


def run(client: Client) -> Iterator[Result]:
    """Yield the rows of this data set."""
    yield from compare(client, images("fashion-mnist", fetch_fashion), TUNED, LEAST)
