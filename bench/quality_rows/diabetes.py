"""Diabetes (from scikit-learn): 442 rows of 10 numbers, the progress of the disease in a year."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.tables import Entry, Result, Table, compare, scaled
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from headrace.client import Client


def run(client: Client) -> Iterator[Result]:
    """Yield the rows of this data set."""
    found = load_diabetes(scaled=False)
    columns = {str(name): found.data[:, i].tolist() for i, name in enumerate(found.feature_names)}
    columns["progress"] = found.target.tolist()
    table = Table("diabetes", "regression", "progress", columns)
    entries = [
        Entry("linear_regression", scaled(table, LinearRegression()), {"epochs": 200}),
        Entry("svm", scaled(table, _standardised(SVR())), {"gamma": 0.03, "cost": 0.5}),
        Entry(
            "random_forest",
            RandomForestRegressor(200, random_state=0),
            {"max_features": "sqrt", "min_samples_leaf": 5},
        ),
        Entry(
            "gradient_boosting",
            HistGradientBoostingRegressor(random_state=0),
            {"max_features": 0.3, "max_leaves": 8},
        ),
        Entry(
            "mlp",
            scaled(table, _standardised(MLPRegressor((64, 32), early_stopping=True, random_state=0))),
            {"hidden": [32], "dropout": 0.2},
        ),
    ]
    yield from compare(client, table, entries)


def _standardised(model: Any) -> Any:
    """Return ``model`` learning a target of mean 0 and variance 1, as a practitioner would have it."""
    return TransformedTargetRegressor(model, transformer=StandardScaler())
