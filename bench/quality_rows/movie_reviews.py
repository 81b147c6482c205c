"""Movie reviews (Hutto, Gilbert 2014, in the sdist of vaderSentiment): 10,605 snippets, positive or not."""

from __future__ import annotations

from collections.abc import Iterator

from bench.tables import Result
from bench.texts import Entry, compare, movie_reviews

from headrace.client import Client

PLAIN = {
    "class_name": "Sequential",
    "config": {
        "layers": [
            {"class_name": "InputLayer", "config": {"batch_shape": [None, 48]}},
            {"class_name": "Embedding", "config": {"input_dim": 10_000, "output_dim": 16}},
            {"class_name": "LSTM", "config": {"units": 32}},
            {"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}},
        ]
    },
}


def run(client: Client) -> Iterator[Result]:
    """Yield the rows of this data set."""
    entries = [
        Entry("text_naive_bayes", tuned={"prior": "uniform"}),
        Entry("keras", {"architecture": PLAIN, "early_stopping": 2}, peer={"kind": "plain"}),
        Entry("text_cnn", peer={"kind": "text_cnn"}),
        Entry("lstm", peer={"kind": "lstm"}),
        Entry("transformer", peer={"kind": "transformer"}),
    ]
    yield from compare(client, movie_reviews(), entries)
