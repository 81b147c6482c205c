"""The peers of recommenders, in an environment of its own: scikit-surprise for ratings, implicit for clicks.

Usage: python recommenders.py ratings|clicks IN.npz OUT.npz

IN has the int64 arrays ``user`` and ``item``, the float64 ``rating``, and ``part``: 0 training, 1 validation,
2 test. OUT gets ``predicted``, a rating of each test row; or ``scores``, shape (users, items).
"""

from __future__ import annotations

import sys

import numpy as np


def ratings(data):
    """Return what SVD (Funk 2006), with the library's default params, says of test rows."""
    import pandas
    from surprise import SVD, Dataset, Reader

    train, test = data["part"] == 0, data["part"] == 2
    columns = {name: data[name][train] for name in ("user", "item", "rating")}
    known = Dataset.load_from_df(pandas.DataFrame(columns), Reader(rating_scale=(1, 5)))
    model = SVD(random_state=0).fit(known.build_full_trainset())
    pairs = zip(data["user"][test].tolist(), data["item"][test].tolist(), strict=True)
    return {"predicted": np.array([model.predict(user, item).est for user, item in pairs])}


def clicks(data):
    """Return the scores of alternating least squares (Hu, Koren, Volinsky 2008) with 16 factors.

    More of them, such as the default of 64, are worse here.
    """
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    train = data["part"] == 0
    shape = (data["user"].max() + 1, data["item"].max() + 1)
    places = data["user"][train], data["item"][train]
    model = AlternatingLeastSquares(factors=16, random_state=0, num_threads=1)
    model.fit(csr_matrix((np.ones(train.sum(), np.float32), places), shape), show_progress=False)
    return {"scores": np.asarray(model.user_factors) @ np.asarray(model.item_factors).T}


if __name__ == "__main__":
    kind, source, target = sys.argv[1:]
    np.savez(target, **{"ratings": ratings, "clicks": clicks}[kind](dict(np.load(source))))
