"""Diabetes (from scikit-learn): 442 rows of 10 numbers, the progress of the disease in a year."""

from __future__ import annotations

from typing import Any

from bench.quality_row import Row
from bench.tables import VALIDATION, Entry, Table, as_is, scaled
from bench.tables import rows as of
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR


def _standardised(model: Any) -> Any:
    """Return ``model`` learning a target of mean 0 and variance 1, as a practitioner would have it."""
    return TransformedTargetRegressor(model, transformer=StandardScaler())


ENTRIES = [
    Entry(
        "linear_regression",
        scaled(LinearRegression()),
        [{"epochs": 200}, {"l2": 0.03}],
    ),
    Entry(
        "svm",
        scaled(_standardised(SVR())),
        [{"cost": 0.3}, {"gamma": 0.03, "cost": 0.5}],
    ),
    Entry(
        "random_forest",
        as_is(RandomForestRegressor(200, random_state=0)),
        [{"min_samples_leaf": 5}, {"max_features": "sqrt", "min_samples_leaf": 5}],
    ),
    Entry(
        "gradient_boosting",
        as_is(HistGradientBoostingRegressor(random_state=0)),
        [{"max_leaves": 8}, {"max_features": 0.3, "max_leaves": 8}],
    ),
    Entry(
        "mlp",
        scaled(
            _standardised(
                MLPRegressor(
                    hidden_layer_sizes=(64, 32),
                    batch_size=32,
                    early_stopping=True,
                    validation_fraction=VALIDATION / 0.8,
                    random_state=0,
                )
            )
        ),
        [{"dropout": 0.2}, {"hidden": [32], "dropout": 0.2}],
        stops_early=True,
    ),
]


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return of(_table, ENTRIES)


def _table() -> Table:
    found = load_diabetes(scaled=False)
    columns = {str(name): found.data[:, i].tolist() for i, name in enumerate(found.feature_names)}
    columns["progress"] = found.target.tolist()
    return Table("diabetes", "regression", "progress", columns)
