"""Movie reviews (Hutto, Gilbert 2014, in the sdist of vaderSentiment): 10,605 snippets, positive or not."""

from __future__ import annotations

from bench.quality_row import Row
from bench.texts import Entry, movie_reviews
from bench.texts import rows as of

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
ENTRIES = [
    Entry("text_naive_bayes", candidates=[{"prior": "uniform"}, {"alpha": 0.5}, {"ngrams": 1}]),
    Entry("keras", {"architecture": PLAIN, "early_stopping": 2}, peer={"kind": "plain"}),
    Entry("text_cnn", candidates=[{"dropout": 0.3}, {"learning_rate": 0.0005}], peer={"kind": "text_cnn"}),
    Entry("lstm", candidates=[{"units": 32}, {"learning_rate": 0.0005}], peer={"kind": "lstm"}),
    Entry(
        "transformer", candidates=[{"dropout": 0.5}, {"learning_rate": 0.0005}], peer={"kind": "transformer"}
    ),
]


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return of(movie_reviews, ENTRIES)
