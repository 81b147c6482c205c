"""The held-out rows of a bounded number of users, as an evaluation of recommendations needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Arrays
from headrace_workers.engine.data.encoders import to_floats
from headrace_workers.engine.data.hashing import hash_rows, mix
from headrace_workers.engine.data.pairs import SUFFIX, Pairs
from headrace_workers.engine.data.seen import Seen
from headrace_workers.engine.data.selection import Selection
from headrace_workers.engine.predictor import Predictor

MAX_USERS = 10_000
FIELDS = ("key", "user", "item", "thing", "rating", "score", "trivial")
"""Of each row: hashes of user and item, their numbers, the rating, what is predicted and what trivially."""


@dataclass(frozen=True)
class Relevant:
    """Which items each user should be shown. ``counts``: how many, shape (users,), new items included.

    ``codes``: sorted, of each known one the place of the user times ``catalogue`` plus the item.
    """

    counts: NDArray[np.int64]
    codes: NDArray[np.int64]
    catalogue: int

    def hits(self, users: NDArray[np.int64], lists: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which items in the ``lists`` of ``users`` are relevant."""
        return np.isin(users[:, None] * self.catalogue + lists, self.codes) & (lists >= 0)


@dataclass
class HeldOut:
    """``rows`` were usable, ``bad`` had no user or item. ``users`` are the numbers of those kept, ``tables``
    their features; of each kept row ``place`` is that of its user. ``drawn_of``: about how many users there
    were."""

    rows: int
    bad: int
    users: NDArray[np.int32]
    tables: NDArray[np.float32] | None
    drawn_of: int
    place: NDArray[np.int64]
    item: NDArray[np.int32]
    thing: NDArray[np.uint64]
    rating: NDArray[np.float64]
    score: NDArray[np.float64]
    trivial: NDArray[np.float64]

    def inputs(self, places: NDArray[np.int64]) -> Arrays:
        """Return what a learner takes of the users at ``places``."""
        found: Arrays = {"user": self.users[places]}
        if self.tables is not None:
            found["user" + SUFFIX] = self.tables[places]
        return found

    def relevant(self, seen: Seen, catalogue: int, target: Any) -> Relevant:
        """Return the items of held-out rows that have not been met in training; of ratings, those that are
        not below the mean."""
        wanted = ~self.met(seen, catalogue)
        if target.rated:
            wanted &= self.rating >= target.mean
        rows = np.flatnonzero(wanted)
        _, first = np.unique(
            mix(self.thing[rows] ^ mix(self.place[rows].astype(np.uint64))), return_index=True
        )
        rows = rows[first]
        known = rows[self.item[rows] < catalogue]
        codes = np.sort(self.place[known] * catalogue + self.item[known])
        return Relevant(np.bincount(self.place[rows], minlength=len(self.users)), codes, catalogue)

    def met(self, seen: Seen, catalogue: int) -> NDArray[np.bool_]:
        """Return which rows are of a user and an item that training had together."""
        users, items = seen.of(self.users)
        codes = users * catalogue + items
        return np.isin(self.place * catalogue + self.item, codes) & (self.item < catalogue)

    def counts(self, predictor: Predictor) -> dict[str, Any]:
        """Return what an evaluation says of users and items, of the kept ones."""
        columns: Any = predictor.preprocessing
        target, catalogue = predictor.target, columns.item.unknown
        learner: Any = predictor.learner
        new = columns.new("user", self.users)
        relevant = self.relevant(learner.seen, catalogue, target)
        return {
            "users": len(self.users),
            "ranked_users": int(np.count_nonzero(relevant.counts)),
            "new_users": int(new.sum()),
            "rows_of_new_users": int(new[self.place].sum()),
            "rows_of_new_items": int(columns.new("item", self.item).sum()),
            "rows_met_in_training": int(self.met(learner.seen, catalogue).sum()),
            "catalogue": catalogue,
            "relevant_from": target.mean if target.rated else None,
        }


class _Collector:
    def __init__(self) -> None:
        self.limit = np.uint64(2**64 - 1)
        self.parts: list[dict[str, NDArray[Any]]] = []
        self.tables: dict[int, NDArray[np.float32]] = {}
        self.keys = np.empty(0, np.uint64)

    def add(self, rows: dict[str, NDArray[Any]], tables: NDArray[np.float32] | None) -> None:
        kept = rows["key"] <= self.limit
        rows = {name: values[kept] for name, values in rows.items()}
        self.parts.append(rows)
        keys, first = np.unique(rows["key"], return_index=True)
        new = ~np.isin(keys, self.keys)
        if tables is not None:
            chosen = tables[kept][first[new]]
            self.tables |= dict(zip(keys[new].tolist(), chosen, strict=True))
        self.keys = np.union1d(self.keys, keys)
        if len(self.keys) > 2 * MAX_USERS:
            self.cut()

    def cut(self) -> None:
        if len(self.keys) > MAX_USERS:
            self.keys = self.keys[:MAX_USERS]
            self.limit = self.keys[-1]
            self.tables = {key: table for key, table in self.tables.items() if key <= int(self.limit)}
        joined = {name: np.concatenate([part[name] for part in self.parts]) for name in FIELDS}
        kept = joined["key"] <= self.limit
        self.parts = [{name: values[kept] for name, values in joined.items()}]


def collect(predictor: Predictor, selection: Selection, seed: int) -> HeldOut:
    """Return the rows of ``selection``.

    Users are drawn by a hash of their id and ``seed``: which are does not depend on the order of the rows.
    """
    columns: Any = predictor.preprocessing
    assert isinstance(columns, Pairs), "what recommendations are made from"
    target, salt = predictor.target, mix(np.array([seed], np.uint64))
    collector, rows, bad = _Collector(), 0, 0
    names = [*columns.columns, *([target.column] if target.rated else [])]
    for _, batch in selection.batches(names, columns.batch_rows):
        encoded = columns.encode(batch)
        rating = to_floats(batch.column(target.column)) if target.rated else np.zeros(batch.num_rows)
        usable = np.isfinite(rating)
        problems = np.zeros(batch.num_rows, np.bool_)
        problems[list(encoded.problems)] = True
        bad += int((problems & usable).sum())
        usable &= ~problems
        rows += int(usable.sum())
        user, item = encoded.inputs["user"], encoded.inputs["item"]
        score = trivial = rating
        if target.rated:
            score = predictor.task.values(predictor, encoded.inputs)[:, 0]
            levels = [np.append(values, 0.0) for values in (target.user_bias, target.item_bias)]
            trivial = np.clip(target.mean + levels[0][user] + levels[1][item], target.low, target.high)
        found = {
            "key": mix(hash_rows(batch, [columns.user.column]) ^ salt),
            "user": user,
            "item": item,
            "thing": hash_rows(batch, [columns.item.column]),
            "rating": rating,
            "score": score,
            "trivial": trivial,
        }
        table = encoded.inputs.get("user" + SUFFIX)
        collector.add(
            {name: values[usable] for name, values in found.items()}, None if table is None else table[usable]
        )
    if not rows:
        nothing = np.empty(0, np.float64)
        return HeldOut(
            0, bad, nothing.astype(np.int32), None, 0, nothing.astype(np.int64), nothing.astype(np.int32),
            nothing.astype(np.uint64), nothing, nothing, nothing,
        )  # fmt: skip
    collector.cut()
    kept = collector.parts[0]
    keys, first, place = np.unique(kept["key"], return_index=True, return_inverse=True)
    share = (int(collector.limit) + 1) / 2**64
    tables = np.stack([collector.tables[key] for key in keys.tolist()]) if collector.tables else None
    return HeldOut(
        rows=rows,
        bad=bad,
        users=kept["user"][first],
        tables=tables,
        drawn_of=round(len(keys) / share),
        place=place.astype(np.int64),
        **{name: kept[name] for name in ("item", "thing", "rating", "score", "trivial")},
    )
