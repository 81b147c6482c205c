"""What is said of columns before anything is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import datasets

import learning
from headrace.errors import BadSpec
from headrace.specs.base import ColumnType, TaskType
from headrace_workers.engine.data.findings import Findings

ROWS = 1000


def look(task: TaskType = "classification", rows: int = ROWS, **columns: tuple[ColumnType, Any]) -> Findings:
    types = {name: type for name, (type, _) in columns.items()}
    table = pa.table({name: pa.array(v, learning.ARROW[type]) for name, (type, v) in columns.items()})
    features = [name for name in columns if name != "target"]
    found = Findings(features, "target", task, types)
    found.examine(table.select(found.columns).to_batches(max_chunksize=300))
    return found


def kinds(found: Findings) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for warning in found.warnings():
        told.setdefault(warning["column"], []).append(warning["kind"])
    return told


def test_columns_that_give_the_class_away_are_told_of_and_good_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, ROWS)
    labels = [f"class {k}" for k in y]
    found = look(
        target=("category", labels),
        copy=("category", labels),
        nearly=("category", [label if i % 500 else "class 0" for i, label in enumerate(labels)]),
        renamed=("category", [f"code {(k * 7) % 5}" for k in y]),
        number=("number", y + rng.uniform(0, 0.9, ROWS)),
        moment=("timestamp", [int(k * 1e15 + i * 1e6) for i, k in enumerate(y)]),
        place=("category", [f"place {(3 * (i % 25) + k) * 23 % 75}" for i, k in enumerate(y)]),
        only_if=("number", [None if k == 1 else float(k) for k in y]),
        good=("number", y + rng.normal(scale=0.5, size=ROWS)),
        noise=("number", rng.normal(size=ROWS)),
        level=("category", [f"{v}" for v in rng.integers(0, 90, ROWS)]),
    )
    assert kinds(found) == {
        "copy": ["copy"],
        "nearly": ["copy"],
        "renamed": ["leak"],
        "number": ["leak"],
        "moment": ["leak"],
        "place": ["leak"],
        "only_if": ["leak"],
    }
    messages = {warning["column"]: warning["message"] for warning in found.warnings()}
    assert "the target of 100.0% of the rows" in messages["renamed"]
    assert "99." in messages["nearly"]


def test_columns_that_give_the_value_away_are_told_of() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(100, 20, ROWS)
    found = look(
        "regression",
        target=("number", y),
        copy=("number", y),
        scaled=("number", 3 * y - 5),
        square=("number", y**2),
        good=("number", y + rng.normal(scale=5, size=ROWS)),
    )
    assert kinds(found) == {"copy": ["copy"], "scaled": ["leak"], "square": ["leak"]}


def test_columns_without_use_are_told_of() -> None:
    rng = np.random.default_rng(0)
    words = ["the film", "a long walk", "no", "oh well", "yes"]
    found = look(
        target=("boolean", rng.random(ROWS) < 0.4),
        row=("integer", range(ROWS)),
        key=("text", [f"user-{i}" for i in range(ROWS)]),
        review=("text", [f"{words[i % 5]} {i}" for i in range(ROWS)]),
        price=("number", rng.normal(size=ROWS)),
        same=("category", ["a"] * ROWS),
        empty=("number", [None] * ROWS),
        sparse=("number", [1.0 if i % 3 == 0 else None for i in range(ROWS)]),
        count=("integer", rng.integers(0, 500, ROWS)),
        picture=("image", [b"x"] * ROWS),
    )
    assert kinds(found) == {
        "row": ["identifier"],
        "key": ["identifier"],
        "same": ["constant"],
        "empty": ["empty"],
        "sparse": ["missing"],
    }
    assert "picture" not in found.columns


def test_rare_classes_and_imbalance_are_told_of() -> None:
    labels = ["usual"] * 980 + ["b"] * 14 + ["c"] * 6
    found = look(target=("category", labels), x=("number", np.arange(ROWS) % 7))
    rare, imbalance = found.warnings()
    assert (rare["kind"], imbalance["kind"]) == ("rare_classes", "imbalance")
    assert "1 of 3 classes" in rare["message"]
    assert "'c' (6)" in rare["message"]
    assert "98.0%" in imbalance["message"]
    even = look(target=("category", ["a", "b"] * 500), x=("number", np.arange(ROWS) // 2 % 7))
    assert even.warnings() == []


def test_a_target_of_one_value_is_refused() -> None:
    for task, type, value in (("classification", "category", "same"), ("regression", "number", 2.5)):
        with pytest.raises(BadSpec, match=f"every training row has {value!r}"):
            look(task, target=(type, [value] * 50), x=("number", range(50)))  # type: ignore[arg-type]


def test_few_rows_and_many_columns_are_enough_and_not_too_much() -> None:
    few = look(target=("category", ["a", "b"] * 5), x=("category", ["a", "b"] * 5))
    assert kinds(few) == {"target": ["rare_classes"], "x": ["copy"]}
    rng = np.random.default_rng(0)
    columns = {f"c{i}": ("number", np.full(300, 1.0)) for i in range(150)}
    many = look(target=("boolean", rng.random(300) < 0.5), **columns).warnings()  # type: ignore[arg-type]
    assert len(many) == 101
    assert many[-1]["message"] == "50 more warnings."


@pytest.mark.parametrize("load", [datasets.load_iris, datasets.load_breast_cancer, datasets.load_diabetes])
def test_honest_data_sets_give_nothing_away(tmp_path: Path, load: Any) -> None:
    bunch = load()
    classes = hasattr(bunch, "target_names")
    data = learning.table(tmp_path, bunch, "category" if classes else "number", classes=classes)
    columns = {c.name: (c.type, data.table[c.name].to_pylist()) for c in data.columns}
    found = look("classification" if classes else "regression", **columns)
    assert found.warnings() == []


def test_a_train_job_tells_before_it_fits_and_keeps_it_with_the_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], iris: learning.Data
) -> None:
    columns = {c.name: (c.type, iris.table[c.name].to_pylist()) for c in iris.columns}
    columns["code"] = ("category", [f"k{v[:2]}" for v in columns["target"][1]])
    data = learning.write(tmp_path / "data", columns)
    ran = learning.train(tmp_path / "job", data, "random_forest", params={"trees": 2})
    (warning,) = ran.done.result["warnings"]
    assert (warning["column"], warning["kind"]) == ("code", "leak")
    assert ran.evaluation["warnings"] == [warning]
    assert f"warning: column 'code': {warning['message']}" in capsys.readouterr().out
    report = {entry["column"]: entry for entry in ran.evaluation["columns"]}
    assert report["code"]["type"] == "category"
    assert report["code"]["distinct"] == 3
    assert "3 levels" in report["code"]["encoded_as"]
    assert report["petal width (cm)"]["encoded_as"] == "standardised"
