"""Breast cancer (Wisconsin, from scikit-learn): 569 rows of 30 numbers, benign or malignant."""

from __future__ import annotations

from bench.quality_row import Row
from bench.tables import Entry, Table, as_is, scaled
from bench.tables import rows as of
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

ENTRIES = [
    Entry(
        "logistic_regression",
        scaled(LogisticRegression(max_iter=1000)),
        [{"l2": 0.003}, {"l2": 0.0003}],
    ),
    Entry(
        "perceptron",
        scaled(Perceptron(random_state=0)),
        [{"l2": 0.0001}, {"l2": 0.01}],
    ),
    Entry(
        "svm",
        scaled(CalibratedClassifierCV(SVC(), ensemble=False)),
        [{"cost": 10.0}, {"kernel": "linear", "cost": 1.0}],
    ),
    Entry("naive_bayes", as_is(GaussianNB()), [{"smoothing": 1e-9}, {"smoothing": 0.3}]),
    Entry(
        "random_forest",
        as_is(RandomForestClassifier(200, random_state=0)),
        [{"min_samples_leaf": 3}, {"max_features": "log2"}],
    ),
    Entry(
        "gradient_boosting",
        as_is(HistGradientBoostingClassifier(random_state=0)),
        [{"learning_rate": 0.1, "min_samples_leaf": 5}, {"max_features": 0.2}],
    ),
    Entry(
        "mlp",
        scaled(MLPClassifier(hidden_layer_sizes=(64, 32), alpha=0.01, max_iter=1000, random_state=0)),
        [{"dropout": 0.2, "epochs": 100}, {"hidden": [256, 128]}],
    ),
]


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return of(_table, ENTRIES)


def _table() -> Table:
    found = load_breast_cancer()
    columns = {str(name): found.data[:, i].tolist() for i, name in enumerate(found.feature_names)}
    columns["diagnosis"] = [str(found.target_names[k]) for k in found.target]
    return Table("breast-cancer", "classification", "diagnosis", columns)
