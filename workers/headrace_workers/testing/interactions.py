"""Small tasks for recommenders: users and items are places on a circle, and users like what is near them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from headrace.specs.algorithms import Algorithm
from headrace.specs.base import ColumnType
from headrace_workers.testing.trials import ARROW, FLOORS, TARGET, Floor, Trial

USERS, ITEMS, ROWS = 60, 40, 900
NEAR = 0.3
"""From what cosine of the angle between them on a user clicks on an item."""
RATINGS = Floor("rmse", 0.7, most=True)
"""Half of how much ratings differ. Which items a user rates says nothing here: lists are no measure."""


def trials(algorithm: Algorithm, *, thorough: bool) -> Iterator[Trial]:
    """Yield clicks, and if ``thorough`` ratings, with ids of another type."""
    yield _trial(algorithm, "clicks", "integer")
    if thorough:
        yield _trial(algorithm, "ratings", "text")


def _trial(algorithm: Algorithm, name: str, ids: ColumnType) -> Trial:
    rng = np.random.default_rng(0)
    users, items = (rng.uniform(0, 2 * np.pi, count) for count in (USERS, ITEMS))
    chosen = rng.permutation(USERS * ITEMS)
    who, what = chosen // ITEMS, chosen % ITEMS
    near = np.cos(users[who] - items[what])
    columns: dict[str, tuple[ColumnType, list[object]]] = {}
    if name == "clicks":
        who, what = who[near > NEAR], what[near > NEAR]
    else:
        columns[TARGET] = ("number", (3 + 2 * near)[:ROWS].tolist())
    for column, numbers in (("user", who), ("item", what)):
        values = numbers[:ROWS].tolist()
        columns[column] = (ids, values if ids == "integer" else [f"{column} {value}" for value in values])
    params = algorithm.params.model_validate(algorithm.trial).model_dump()
    for side, angles, numbers in (("user", users, who), ("item", items, what)):
        if f"{side}_features" in params:
            columns[f"of {side}"] = ("number", np.cos(angles[numbers[:ROWS]]).tolist())
    features = {f"{side}_features": [f"of {side}"] for side in ("user", "item") if f"of {side}" in columns}
    return Trial(
        name=name,
        task="recommendation",
        features=(),
        types={column: kind for column, (kind, _) in columns.items()},
        table=pa.table({name: pa.array(values, ARROW[kind]) for name, (kind, values) in columns.items()}),
        floor=RATINGS if TARGET in columns else FLOORS["recommendation"],
        target=TARGET if TARGET in columns else None,
        split={"by": "hash", "validation": 0.1, "test": 0.2},
        params={**algorithm.trial, **features},
        named=tuple(column for column in columns if column != TARGET),
    )
