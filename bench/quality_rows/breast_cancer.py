"""Breast cancer (Wisconsin, from scikit-learn): 569 rows of 30 numbers, benign or malignant."""

from __future__ import annotations

from collections.abc import Iterator

from bench.tables import Entry, Result, Table, compare, scaled
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from headrace.client import Client


def run(client: Client) -> Iterator[Result]:
    """Yield the rows of this data set."""
    found = load_breast_cancer()
    columns = {str(name): found.data[:, i].tolist() for i, name in enumerate(found.feature_names)}
    columns["diagnosis"] = [str(found.target_names[k]) for k in found.target]
    table = Table("breast-cancer", "classification", "diagnosis", columns)
    entries = [
        Entry(
            "logistic_regression",
            scaled(table, LogisticRegression(max_iter=1000)),
            {"epochs": 100, "l2": 0.003},
        ),
        Entry("perceptron", scaled(table, Perceptron(random_state=0)), {"l2": 0.001}),
        Entry("svm", scaled(table, CalibratedClassifierCV(SVC(), ensemble=False)), {"cost": 10.0}),
        Entry("naive_bayes", GaussianNB(), {"smoothing": 0.001}),
        Entry("random_forest", RandomForestClassifier(200, random_state=0), {"max_features": "log2"}),
        Entry(
            "gradient_boosting",
            HistGradientBoostingClassifier(random_state=0),
            {"learning_rate": 0.1, "min_samples_leaf": 5},
        ),
        Entry(
            "mlp",
            scaled(table, MLPClassifier((64, 32), early_stopping=True, random_state=0)),
            {"epochs": 100, "dropout": 0.2},
        ),
    ]
    yield from compare(client, table, entries)
