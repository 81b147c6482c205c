"""Models that many tests look at, trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn import datasets

import learning
from headrace_workers.engine.training import determinism

# As in a job process, before any operation runs: afterwards it is too late.
determinism.configure(1, deterministic=True)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    return learning.digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def cnn(tmp_path_factory: pytest.TempPathFactory, digits: learning.Data) -> learning.Ran:
    return learning.train(tmp_path_factory.mktemp("cnn"), digits, "cnn", "label", params={"epochs": 6})


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    return learning.table(tmp_path_factory.mktemp("iris"), datasets.load_iris(), "category", classes=True)


@pytest.fixture(scope="session")
def forest(tmp_path_factory: pytest.TempPathFactory, iris: learning.Data) -> learning.Ran:
    """A small model that needs no TensorFlow."""
    folder: Path = tmp_path_factory.mktemp("forest")
    return learning.train(folder, iris, "random_forest", params={"trees": 20})
