"""Versions that are combined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import learning
from headrace_workers.engine.data import split
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.package import Package
from headrace_workers.engine.predictor import Predictor

SPLIT = {"validation": 0.3, "test": 0.3, "by": "random"}
REFS = ["a@1", "b@1", "c@1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 300))
    side = np.where(x + y + rng.normal(0, 0.5, 300) > 0, "up", "down")
    return learning.write(
        tmp_path_factory.mktemp("data"),
        {
            "x": ("number", x),
            "y": ("number", y),
            "side": ("category", side),
            "height": ("number", 1000 + 3 * x + 2 * y + rng.normal(0, 0.5, 300)),
        },
    )


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory, data: learning.Data) -> list[Path]:
    return _members(tmp_path_factory.mktemp("members"), data, "side")


def _members(folder: Path, data: learning.Data, target: str) -> list[Path]:
    every = ("random_forest", "gradient_boosting", "random_forest")
    few: list[dict[str, Any]] = [{"trees": 5}, {}, {"trees": 3, "max_depth": 2}]
    features = ["x", "y"]
    return [
        learning.train(
            folder / f"{i}", data, name, target, params=params, features=features, split=SPLIT
        ).package
        for i, (name, params) in enumerate(zip(every, few, strict=True))
    ]


def _ensemble(
    folder: Path, data: learning.Data, members: Sequence[Path], target: str = "side", **params: Any
) -> learning.Ran:
    params = {"models": REFS[: len(members)], **params}
    return learning.train(
        folder, data, "ensemble", target, members=members, params=params, features=["x", "y"], split=SPLIT
    )


def _predictor(path: Path) -> Predictor:
    return Package.load(path).predictor


def _said(path: Path, data: learning.Data) -> np.ndarray[Any, Any]:
    return np.asarray(_predictor(path).outputs(data.table).values)


def test_an_average_is_the_weighted_mean_of_what_the_members_say(
    tmp_path: Path, data: learning.Data, members: list[Path]
) -> None:
    made = _ensemble(tmp_path, data, members, weights=[1, 3, 0])
    expected = (_said(members[0], data) + 3 * _said(members[1], data)) / 4
    assert np.allclose(_said(made.package, data), expected, atol=1e-6)
    assert made.done.result["signature"]["inputs"] == [{"name": n, "type": "number"} for n in ("x", "y")]
    assert made.evaluation["metrics"]["accuracy"] > 0.7


def test_votes_are_counted_and_ties_go_to_the_more_probable(
    tmp_path: Path, data: learning.Data, members: list[Path]
) -> None:
    said = np.stack([_said(path, data) for path in members])
    three = _said(_ensemble(tmp_path / "3", data, members, method="vote").package, data)
    votes = np.stack([(said.argmax(axis=2) == k).sum(axis=0) for k in range(2)], axis=1)
    assert (three.argmax(axis=1) == votes.argmax(axis=1)).all()
    two = _said(_ensemble(tmp_path / "2", data, members[:2], method="vote").package, data)
    tied = said[0].argmax(axis=1) != said[1].argmax(axis=1)
    assert tied.any()
    assert (two[tied].argmax(axis=1) == said[:2].mean(axis=0)[tied].argmax(axis=1)).all()


def test_a_stack_is_fitted_on_validation_rows_alone(
    tmp_path: Path, data: learning.Data, members: list[Path]
) -> None:
    made = _ensemble(tmp_path, data, members, method="stack", l2=0.5)
    spec = learning.train_spec(data, "random_forest", "side", split=SPLIT)
    reader = Reader(data.path, data.columns)
    parts = split.divide(reader, learning.TrainSpec.model_validate(spec).split, ["x", "y"], "side")
    said = np.concatenate([_said(path, data) for path in members], axis=1).astype(np.float32)
    truth = (np.array(data.table["side"].to_pylist()) == "up").astype(int)
    held = parts == split.VALIDATION
    model = LogisticRegression(C=2.0, max_iter=1000).fit(said[held], truth[held])
    assert np.allclose(_said(made.package, data), model.predict_proba(said), atol=1e-6)


def test_numbers_are_averaged_and_stacked_in_their_units(tmp_path: Path, data: learning.Data) -> None:
    members = _members(tmp_path / "members", data, "height")
    average = _ensemble(tmp_path / "average", data, members, "height")
    expected = np.mean([_said(path, data) for path in members], axis=0)
    assert np.allclose(_said(average.package, data), expected, atol=1e-3)
    stack = _ensemble(tmp_path / "stack", data, members, "height", method="stack", l2=0.1)
    assert stack.evaluation["metrics"]["r2"] > 0.8


def test_the_same_again_and_the_digest_tells_other_members(
    tmp_path: Path, data: learning.Data, members: list[Path]
) -> None:
    made, again, other = (
        _ensemble(tmp_path / name, data, chosen)
        for name, chosen in (("a", members[:2]), ("b", members[:2]), ("c", members[1:]))
    )
    assert made.package.read_bytes() == again.package.read_bytes()
    digests = [run.done.result["weights_digest"] for run in (made, again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_a_row_that_a_member_cannot_use_has_no_prediction_and_a_column_that_lacks_is_named(
    tmp_path: Path, data: learning.Data, members: list[Path]
) -> None:
    made = _ensemble(tmp_path, data, members)
    failed = learning.run(
        tmp_path / "predict",
        "predict",
        {"model": "m@1", "dataset": "d@1"},
        learning.write(tmp_path / "lacking", {"x": ("number", [1.0])}),
        package=made.package,
    )
    assert "column 'y' is missing" in failed.failed.message


def test_a_stack_without_validation_rows_says_so(
    tmp_path: Path, data: learning.Data, members: list[Path]
) -> None:
    rows = {"validation": 0.0, "test": 0.3, "by": "random"}
    failed = learning.train(
        tmp_path,
        data,
        "ensemble",
        "side",
        members=members,
        params={"models": REFS, "method": "stack"},
        features=["x", "y"],
        split=rows,
    ).failed
    assert "split.validation: without params.folds a stack learns on validation rows" in failed.message


def test_members_of_other_classes_are_refused(
    tmp_path: Path, data: learning.Data, members: list[Path]
) -> None:
    columns = data.table.to_pydict()
    renamed = ["top" if side == "up" else side for side in columns["side"]]
    other = learning.write(
        tmp_path / "other",
        {name: ("number", columns[name]) for name in ("x", "y")} | {"side": ("category", renamed)},
    )
    stranger = learning.train(
        tmp_path / "stranger", other, "random_forest", "side", params={"trees": 2}, split=SPLIT
    ).package
    assert (
        "params.models.1: it knows the classes down, top"
        in _ensemble(tmp_path / "a", data, [members[0], stranger]).failed.message
    )
    assert "no member knows the classes top" in _ensemble(tmp_path / "b", other, members).failed.message


def test_what_it_rests_on_is_told_by_raw_columns(
    tmp_path: Path, data: learning.Data, members: list[Path]
) -> None:
    """Shuffled by hand, the committee asked anew; and the one column set to a value in all rows."""
    made = _ensemble(tmp_path / "job", data, members)
    found = learning.explain(
        tmp_path / "explain", data, made.package, rows=300, repeats=3, grid=3, partial_dependence=["x"]
    ).explanation
    predictor = _predictor(made.package)
    truth = np.array(data.table["side"].to_pylist())
    labels = np.array(predictor.target.classes)
    costs = {each["feature"]: each["metrics"]["accuracy"]["mean"] for each in found["importance"]["features"]}
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        by_hand = []
        for _ in range(10):
            order = rng.permutation(300)
            place = data.table.schema.get_field_index(name)
            table = data.table.set_column(place, name, data.table[name].take(order))
            said = labels[predictor.outputs(table).values.argmax(axis=1)]
            by_hand.append(found["importance"]["metrics"]["accuracy"] - np.mean(said == truth))
        assert costs[name] == pytest.approx(np.mean(by_hand), abs=0.05)
        assert costs[name] > 0.05
    (part,) = found["partial_dependence"]
    place = data.table.schema.get_field_index("x")
    for value, mean in zip(part["grid"], part["curves"][0]["mean"], strict=True):
        table = data.table.set_column(place, "x", [np.full(300, value)])
        assert mean == pytest.approx(predictor.outputs(table).values[:, 1].mean(), abs=1e-6)
