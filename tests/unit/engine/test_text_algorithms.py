"""Algorithms for text: raw text in, labels out. The conformance suite checks the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import learning
from headrace_workers.engine.package import Package

NETWORK = {"embedding": 16, "filters": 16, "vocabulary": 100, "epochs": 5, "learning_rate": 0.01}
PARAMS: dict[str, dict[str, Any]] = {"text_naive_bayes": {}, "text_cnn": NETWORK}
SUBJECTS = ["The film", "Its plot", "That actor", "Everything"]
GOOD, BAD = ["good", "wonderful", "moving"], ["bad", "dull", "awful"]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    """Whether a review likes its film; "not" turns the word behind it around."""
    draw = np.random.default_rng(0)
    texts, labels = [], []
    for _ in range(600):
        like, negated = draw.integers(2), draw.integers(2)
        word = draw.choice(GOOD if like != negated else BAD)
        texts.append(f"{draw.choice(SUBJECTS)} is {'not ' * negated}{word}, {draw.choice(SUBJECTS)} too.")
        labels.append("positive" if like else "negative")
    texts[3] = None
    return learning.write(
        tmp_path_factory.mktemp("reviews"), {"text": ("text", texts), "label": ("category", labels)}
    )


@pytest.mark.parametrize("name", list(PARAMS))
def test_it_learns_from_text_and_answers_text(tmp_path: Path, reviews: learning.Data, name: str) -> None:
    run = learning.train(tmp_path / "a", reviews, name, "label", params=PARAMS[name])
    assert run.done.result["metrics"]["accuracy"] > 0.97
    package = Package.load(run.package)
    assert package.manifest.signature.inputs[0].type == "text"
    asked = pa.table({"text": ["It is not bad", "That actor is not good", "EVERYTHING is awful", None, ""]})
    assert package.predict(asked)["prediction"].to_pylist()[:3] == ["positive", "negative", "negative"]


def test_tokens_that_training_never_held_change_nothing(tmp_path: Path, reviews: learning.Data) -> None:
    run = learning.train(tmp_path / "a", reviews, "text_naive_bayes", "label", params={"ngrams": 1})
    asked = pa.table({"text": ["Everything is moving", "Everything is very very moving indeed"]})
    first, second = Package.load(run.package).predict(asked)["probability"].to_pylist()
    assert first == second


@pytest.mark.parametrize("name", ["text_cnn", "lstm", "transformer"])
def test_columns_beside_the_text_count_as_well(tmp_path: Path, name: str) -> None:
    draw = np.random.default_rng(0)
    rows = 240
    loud, long = draw.integers(0, 2, rows), draw.normal(size=rows)
    first = ["so loud" if each else "so calm" for each in loud]
    second = draw.choice(["by day", "by night"], rows).tolist()
    # Neither the texts nor the number alone would do.
    labels = [
        f"{'loud' if a else 'calm'} {'long' if b > 0 else 'short'} {c[3:]}"
        for a, b, c in zip(loud, long, second, strict=True)
    ]
    data = learning.write(
        tmp_path / "data",
        {
            "first": ("text", first),
            "length": ("number", long),
            "second": ("text", second),
            "label": ("category", labels),
        },
    )
    params = {"epochs": 20, "learning_rate": 0.01, "embedding": 8, "dropout": 0.0, "early_stopping": None}
    run = learning.train(tmp_path / "run", data, name, "label", params=params, split={"by": "random"})
    assert run.done.result["metrics"]["accuracy"] > 0.9
    package = Package.load(run.package)
    assert [column.name for column in package.manifest.signature.inputs] == ["first", "length", "second"]
    asked = pa.table(
        {"second": ["by day", None], "first": ["so calm", "so loud"], "length": pa.array([2.0, None])}
    )
    assert package.predict(asked)["prediction"].to_pylist()[0] == "calm long day"
