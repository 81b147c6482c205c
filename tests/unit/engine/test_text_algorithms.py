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
