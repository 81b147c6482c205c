"""Two towers: users and items by what they have in common and by what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Algorithm, no_column
from headrace.specs.base import Column, ColumnType
from headrace_workers.engine.algorithms.params import L2, Dense, Dropout
from headrace_workers.engine.algorithms.recommender import (
    IDS,
    ColumnName,
    Recommender,
    RecommenderParams,
    Side,
    Tower,
)

SIDES_TAKE: tuple[ColumnType, ...] = ("number", "integer", "boolean", "category", "timestamp")
"""The types of columns that features of users and items may be."""

Features = Annotated[list[ColumnName], Field(max_length=1000)]


class TwoTowerParams(RecommenderParams):
    """Params of `two_tower`."""

    user_features: Annotated[
        Features, Field(description="Columns that say something of the user, or of the moment.")
    ] = []
    item_features: Annotated[
        Features, Field(description="Columns that say something of the item, the same in all of its rows.")
    ] = []
    hidden: Dense = [32]
    dropout: Dropout = 0.2
    l2: L2 = 0.06

    def features(self) -> tuple[list[str], list[str]]:
        """See `RecommenderParams.features`."""
        return self.user_features, self.item_features

    def misfit_dataset(self, columns: Sequence[Column], target: str | None) -> dict[str, str]:
        """See `Params.misfit_dataset`."""
        found = super().misfit_dataset(columns, target)
        types = {column.name: column.type for column in columns}
        taken = [self.user, self.item, *([] if target is None else [target])]
        for field, names in (("user_features", self.user_features), ("item_features", self.item_features)):
            for name in names:
                if name not in types:
                    found[field] = no_column(name, list(types))
                elif name in taken:
                    found[field] = (
                        f"{name!r} has a part already: it is the user, the item, the target or named twice"
                    )
                elif types[name] not in SIDES_TAKE:
                    takes = ", ".join(SIDES_TAKE)
                    found[field] = f"{name!r} is a {types[name]} column; two_tower takes {takes}"
                taken.append(name)
        return found


class TwoTower(Recommender):
    """To the vector and bias of its own that a user or item has, dense layers add what all of it says.

    Of a new one, which has none of its own, they say what its features say.
    """

    params_class = TwoTowerParams
    params: TwoTowerParams

    def tower(self, side: Side) -> Tower:
        """See `Recommender.tower`."""
        from keras import layers

        factors = self.numbered(side, "factors", self.params.factors)
        bias = self.numbered(side, "bias", 1, spread=0.0)
        hidden = []
        for i, units in enumerate(self.params.hidden, 1):
            hidden.append(layers.Dense(units, activation="relu", name=f"{side}_dense_{i}"))
            if self.params.dropout:
                hidden.append(layers.Dropout(self.params.dropout, name=f"{side}_dropout_{i}"))
        vector = layers.Dense(self.params.factors, use_bias=False, name=f"{side}_vector")
        level = layers.Dense(1, use_bias=False, name=f"{side}_level")
        join = layers.Concatenate(name=f"{side}_all")

        def tower(numbers: Any, table: Any) -> tuple[Any, Any]:
            own = x = factors(numbers)
            if table is not None:
                x = join([own, table])
            for layer in hidden:
                x = layer(x)
            return own + vector(x), bias(numbers) + level(x)

        return tower


ALGORITHM = Algorithm(
    name="two_tower",
    title="Two towers",
    summary="As matrix_factorization, with features of users and items, by which new ones are known too.",
    source="Yi et al. 2019, Sampling-bias-corrected neural modeling for large corpus item recommendations",
    tasks=("recommendation",),
    features=(*IDS, "number", "boolean", "timestamp"),
    params=TwoTowerParams,
    code="headrace_workers.engine.algorithms.two_tower:TwoTower",
    needs_features=False,
    trial={
        "epochs": 30,
        "learning_rate": 0.02,
        "factors": 8,
        "hidden": [16],
        "dropout": 0.0,
        "negatives": 8,
        "l2": 0.0,
        "batch_size": 64,
    },
)
