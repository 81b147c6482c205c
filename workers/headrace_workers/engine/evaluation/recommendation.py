"""How good recommendations are: by users, beside what everybody likes.

Of every user with held-out rows, the best items are listed, without those that it has met in training. A
held-out item is relevant; of ratings only where its rating is not below the mean of training. An item that
training did not have is relevant too, and is missed. The trivial answers are the items that most users have
met, and ratings by the habits of users and items (`biases`).

::

    {"metrics": {"rmse", "mae" of ratings; "precision_at_10", "recall_at_10", "ndcg_at_10",
                 "coverage_at_10", the share of all items that are in anybody's list},
     "top": [{"k": 1, "metrics": {…}, "baseline": {…}}, …],       the same for shorter and longer lists
     "interactions": {"users", "ranked_users", "new_users", "rows_of_new_users", "rows_of_new_items",
                      "rows_met_in_training", "catalogue", "relevant_from"}}

Intervals are of resampled users, whose rows hang together. Of more than `held_out.MAX_USERS` users, as many
are drawn; ``sample`` says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Recommends
from headrace_workers.engine.data.pairs import Pairs
from headrace_workers.engine.data.selection import Selection
from headrace_workers.engine.evaluation import collect, held_out, intervals, top_k, verdict
from headrace_workers.engine.evaluation.held_out import HeldOut
from headrace_workers.engine.evaluation.intervals import Interval, Resamples
from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]
Lists = NDArray[np.int32]

CUTS = (1, 2, 5, 10, 20, 50)
AT = 10
POPULAR = "the most popular items"


def evaluate(predictor: Predictor, rows: Selection, seed: int) -> JSON:
    """Return the evaluation of ``predictor`` on ``rows``."""
    held = held_out.collect(predictor, rows, seed)
    if not held.rows:
        return collect.empty(predictor, held.bad)
    rng = np.random.default_rng([seed, 1])
    target = predictor.target
    metrics: JSON = {}
    trivial: JSON = {}
    between: dict[str, Interval] = {}
    gains: dict[str, Interval | None] = {}
    if target.rated:
        _errors(held, rng, metrics, trivial, between, gains)
    top = _top(predictor, held, rng, metrics, trivial, between, gains)
    predicts = f"{POPULAR}, and ratings by the habits of users and items" if target.rated else POPULAR
    baseline = {"predicts": predicts, "metrics": trivial}
    report = {
        "task": target.task,
        "rows": held.rows,
        "bad_rows": held.bad,
        "metrics": metrics,
        "intervals": intervals.as_json(between, resamples=intervals.RESAMPLES, resampled="users"),
        "baseline": baseline,
        "verdict": verdict.of_recommendation(metrics, between, baseline, gains),
        "top": top,
        "interactions": held.counts(predictor),
    }
    if held.drawn_of > len(held.users):
        report["sample"] = {
            "users": len(held.users),
            "of": held.drawn_of,
            "note": f"All figures are of {len(held.users)} of about {held.drawn_of} users, drawn at random.",
        }
    return {name: collect.finite(part) for name, part in report.items()}


def _errors(
    held: HeldOut,
    rng: np.random.Generator,
    metrics: JSON,
    trivial: JSON,
    between: dict[str, Interval],
    gains: dict[str, Interval | None],
) -> None:
    """Add what is to be said of the predicted ratings."""
    count = len(held.users)
    each = np.bincount(held.place, minlength=count)
    weighted = Resamples(count, intervals.RESAMPLES, rng)

    def mean(values: NDArray[np.float64], weights: NDArray[Any] | None = None) -> Any:
        summed = np.bincount(held.place, values, count)
        if weights is None:
            return summed.sum() / each.sum()
        return (weights @ summed[weighted.rows]) / np.maximum(weights @ each[weighted.rows], 1)

    def both(predicted: NDArray[np.float64], weights: NDArray[Any] | None = None) -> dict[str, Any]:
        errors = held.rating - predicted
        return {"rmse": np.sqrt(mean(np.square(errors), weights)), "mae": mean(np.abs(errors), weights)}

    own, other = both(held.score), both(held.trivial)
    # All users that take part, once.
    once = np.ones((1, len(weighted.rows)), np.float32)
    drawn = [both(predicted, weighted.weights) for predicted in (held.score, held.trivial)]
    centre = [{name: float(v[0]) for name, v in both(p, once).items()} for p in (held.score, held.trivial)]
    for name in ("rmse", "mae"):
        metrics[name], trivial[name] = float(own[name]), float(other[name])
        ends = weighted.interval(metrics[name], drawn[0][name], centre[0][name])
        between |= intervals.bounded({name: ends}, {name: np.inf})
        gains[name] = weighted.interval(
            trivial[name] - metrics[name], drawn[1][name] - drawn[0][name], centre[1][name] - centre[0][name]
        )


def _top(
    predictor: Predictor,
    held: HeldOut,
    rng: np.random.Generator,
    metrics: JSON,
    trivial: JSON,
    between: dict[str, Interval],
    gains: dict[str, Interval | None],
) -> list[JSON]:
    """Add what is to be said of the lists of `AT` items; return the same of lists of every length."""
    learner, columns = predictor.learner, predictor.preprocessing
    assert isinstance(learner, Recommends), "what recommendations come from"
    assert isinstance(columns, Pairs), "what recommendations are made from"
    catalogue = columns.item.unknown
    relevant = held.relevant(learner.seen, catalogue, predictor.target)
    chosen = np.flatnonzero(relevant.counts)
    if not len(chosen):
        return []
    users = held.inputs(chosen)
    lists = [learner.rank(users, CUTS[-1])[0], popular(learner, users["user"], catalogue, CUTS[-1])]
    hits = [relevant.hits(chosen, found) for found in lists]
    counts = relevant.counts[chosen]
    entries = []
    for k in CUTS:
        scores = [top_k.scores(found, counts, k) for found in hits]
        told = [{name: float(values.mean()) for name, values in each.items()} for each in scores]
        for entry, found in zip(told, lists, strict=True):
            entry["coverage"] = top_k.coverage(found, k, catalogue)
        entries.append({"k": k, "metrics": told[0], "baseline": told[1]})
        if k == AT:
            named = [{f"{name}_at_{k}": value for name, value in entry.items()} for entry in told]
            metrics |= named[0]
            trivial |= named[1]
            weighted = Resamples(len(chosen), intervals.RESAMPLES, rng)
            for name, (own, other) in {n: (scores[0][n], scores[1][n]) for n in scores[0]}.items():
                ends = _interval(weighted, own)
                between |= intervals.bounded({f"{name}_at_{k}": ends}, {})
                gains[f"{name}_at_{k}"] = _interval(weighted, own - other)
    return entries


def _interval(weighted: Resamples, values: NDArray[np.float64]) -> Interval | None:
    centre = float(values[weighted.rows].mean())
    return weighted.interval(float(values.mean()), weighted.means(values), centre)


def popular(learner: Recommends, users: NDArray[np.integer], catalogue: int, k: int) -> Lists:
    """Return for each of ``users`` the ``k`` items that most users have met, without those it has met itself;
    shape (n, k), -1 where there are no more."""
    order = np.argsort(-learner.seen.popularity(catalogue), kind="stable").astype(np.int32)
    place, met = learner.seen.of(users)
    starts = np.searchsorted(place, np.arange(len(users) + 1))
    lists = np.full((len(users), k), -1, np.int32)
    for user in range(len(users)):
        own = met[starts[user] : starts[user + 1]]
        first = order[: k + len(own)]
        found = first[~np.isin(first, own)][:k]
        lists[user, : len(found)] = found
    return lists
