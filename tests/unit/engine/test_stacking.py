"""A stack that is fitted on what members say of rows that they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

import learning
from headrace.specs.jobs import Split
from headrace_workers.engine.data import split
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.package import Package

ROWS, FOLDS = 240, 3
SPLIT = {"validation": 0.0, "test": 0.25, "by": "random", "seed": 3}
FORESTS: list[dict[str, Any]] = [{"trees": 8, "max_depth": 2}, {"trees": 5}]
"""The second one knows its training rows by heart."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, ROWS))
    noisy = x + y + rng.normal(0, 1.5, ROWS)
    return learning.write(
        tmp_path_factory.mktemp("data"),
        {
            "x": ("number", x),
            "y": ("number", y),
            "side": ("category", np.where(noisy > 0.6, "up", np.where(noisy < -0.6, "down", "even"))),
            "height": ("number", 100 + 3 * noisy),
        },
    )


def _forest(folder: Path, data: learning.Data, target: str, params: Any, **more: Any) -> learning.Ran:
    return learning.train(
        folder, data, "random_forest", target, params=params, features=["x", "y"], split=SPLIT, **more
    )


def _held_out(folder: Path, data: learning.Data, target: str) -> dict[str, Path]:
    """Train each forest anew without each fold, and return what it says of it."""
    found = {}
    for i, params in enumerate(FORESTS):
        for number in range(FOLDS):
            fold = {"folds": FOLDS, "number": number, "rows": "training", "stratified": target == "side"}
            ran = _forest(folder / f"{i}-{number}", data, target, params, fold=fold, hold_out=True)
            assert "package" not in ran.done.outputs
            found[f"held_out_{i}_{number}"] = ran.out / ran.done.outputs["held_out"]
    return found


def _stack(
    folder: Path, data: learning.Data, target: str, held_out: dict[str, Path], members: list[Path]
) -> learning.Ran:
    return learning.train(
        folder,
        data,
        "ensemble",
        target,
        members=members,
        held_out=held_out,
        params={"models": ["a@1", "b@1"], "method": "stack", "folds": FOLDS, "l2": 0.5},
        features=["x", "y"],
        split=SPLIT,
    )


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory, data: learning.Data) -> dict[str, Path]:
    return _held_out(tmp_path_factory.mktemp("folds"), data, "side")


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory, data: learning.Data) -> list[Path]:
    folder = tmp_path_factory.mktemp("members")
    return [_forest(folder / f"{i}", data, "side", params).package for i, params in enumerate(FORESTS)]


def _training_rows(data: learning.Data, target: str) -> tuple[Any, Any]:
    reader = Reader(data.path, data.columns)
    parts = split.divide(reader, Split.model_validate(SPLIT), ["x", "y"], target)
    table = data.table.to_pandas()[parts == split.TRAINING]
    return table[["x", "y"]].to_numpy(), table[target].to_numpy()


def test_it_is_what_scikit_learn_fits_on_the_same_folds(
    tmp_path: Path, data: learning.Data, held_out: dict[str, Path], members: list[Path]
) -> None:
    made = _stack(tmp_path, data, "side", held_out, members)
    x, y = _training_rows(data, "side")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SPLIT["seed"])
    forests = [
        RandomForestClassifier(p["trees"], max_depth=p.get("max_depth"), random_state=0) for p in FORESTS
    ]
    said = [cross_val_predict(forest, x, y, cv=folds, method="predict_proba") for forest in forests]
    expected = LogisticRegression(C=2.0, max_iter=1000).fit(np.concatenate(said, axis=1), y)
    learner: Any = Package.load(made.package).predictor.learner
    assert np.allclose(learner.model.coef_, expected.coef_, atol=1e-4)
    assert np.allclose(learner.model.intercept_, expected.intercept_, atol=1e-4)
    # The members as they are, not those of the folds, are asked from then on.
    whole = np.concatenate([forest.fit(x, y).predict_proba(x) for forest in forests], axis=1)
    predicted = Package.load(made.package).predict(data.table)["probability_up"].to_numpy()
    rows = np.isin(data.table["x"].to_numpy(), x[:, 0])
    assert np.allclose(predicted[rows], expected.predict_proba(whole)[:, 2], atol=1e-4)


def test_numbers_are_stacked_in_the_same_way(tmp_path: Path, data: learning.Data) -> None:
    held_out = _held_out(tmp_path, data, "height")
    members = [_forest(tmp_path / f"{i}", data, "height", p).package for i, p in enumerate(FORESTS)]
    made = _stack(tmp_path / "stack", data, "height", held_out, members)
    x, y = _training_rows(data, "height")
    forests = [
        RandomForestRegressor(p["trees"], max_depth=p.get("max_depth"), random_state=0) for p in FORESTS
    ]
    folds = KFold(FOLDS, shuffle=True, random_state=SPLIT["seed"])
    said = np.stack([cross_val_predict(forest, x, y, cv=folds) for forest in forests], axis=1)
    expected = Ridge(alpha=0.5).fit((said - y.mean()) / y.std(), (y - y.mean()) / y.std())
    learner: Any = Package.load(made.package).predictor.learner
    # A target that is standardised by other rows, and rounded, grows other branches here and there.
    assert np.allclose(learner.model.coef_, expected.coef_, atol=0.05)
    tables = [[pq.read_table(held_out[f"held_out_{i}_{k}"]) for k in range(FOLDS)] for i in range(2)]
    exact = [pa.concat_tables(folds).sort_by("row")["prediction"].to_numpy() for folds in tables]
    expected = Ridge(alpha=0.5).fit((np.stack(exact, axis=1) - y.mean()) / y.std(), (y - y.mean()) / y.std())
    assert np.allclose(learner.model.coef_, expected.coef_, atol=1e-5)


def test_a_member_that_knows_its_rows_by_heart_counts_for_less_than_in_sample(
    tmp_path: Path, data: learning.Data, held_out: dict[str, Path], members: list[Path]
) -> None:
    """In sample the deep forest is never wrong, and would be all that counts."""
    made = _stack(tmp_path, data, "side", held_out, members)
    learner: Any = Package.load(made.package).predictor.learner
    x, y = _training_rows(data, "side")
    table = data.table.filter(np.isin(data.table["x"].to_numpy(), x[:, 0]))
    said = [np.asarray(Package.load(path).predictor.outputs(table).values) for path in members]
    in_sample = LogisticRegression(C=2.0, max_iter=1000).fit(np.concatenate(said, axis=1), y)

    def share(coefficients: Any) -> float:
        shallow, deep = np.abs(coefficients.reshape(3, 2, 3)).sum(axis=(0, 2))
        return float(deep / (shallow + deep))

    assert share(in_sample.coef_) > 0.7
    assert share(learner.model.coef_) < 0.5


def test_held_out_rows_are_all_training_rows_once_and_no_test_row(
    data: learning.Data, held_out: dict[str, Path]
) -> None:
    x, _ = _training_rows(data, "side")
    for i in range(2):
        files = [pq.read_table(held_out[f"held_out_{i}_{k}"]) for k in range(FOLDS)]
        rows = np.concatenate([file["row"].to_numpy() for file in files])
        assert np.array_equal(np.sort(data.table["x"].to_numpy()[rows]), np.sort(x[:, 0]))
        assert files[0].column_names == ["row", "probability_down", "probability_even", "probability_up"]


def test_the_same_again_and_reproduced(
    tmp_path: Path, data: learning.Data, held_out: dict[str, Path], members: list[Path]
) -> None:
    made, again = (_stack(tmp_path / name, data, "side", held_out, members) for name in ("a", "b"))
    assert made.package.read_bytes() == again.package.read_bytes()
    spec = learning.train_spec(
        data,
        "ensemble",
        "side",
        params={"models": ["a@1", "b@1"], "method": "stack", "folds": FOLDS, "l2": 0.5},
        features=["x", "y"],
        split=SPLIT,
    )
    verdict = learning.run(
        tmp_path / "again",
        "reproduce",
        spec,
        data,
        package=made.package,
        members=members,
        held_out=held_out,
        code="headrace_workers.engine.algorithms.ensemble:Ensemble",
    ).done.result
    assert verdict["identical"]
    assert verdict["differences"] == []


def test_what_was_held_out_of_other_rows_is_refused(
    tmp_path: Path, data: learning.Data, held_out: dict[str, Path], members: list[Path]
) -> None:
    lacking = {name: path for name, path in held_out.items() if name != "held_out_1_2"}
    assert "not of the training rows" in _stack(tmp_path, data, "side", lacking, members).failed.message


def test_a_class_with_fewer_rows_than_folds_says_so(tmp_path: Path) -> None:
    data = learning.write(
        tmp_path / "data",
        {
            "x": ("number", list(range(20))),
            "y": ("number", [0.0] * 20),
            "side": ("category", ["a"] * 18 + ["b"] * 2),
        },
    )
    fold = {"folds": 3, "number": 0, "rows": "training", "stratified": True}
    failed = learning.train(
        tmp_path / "job",
        data,
        "random_forest",
        "side",
        fold=fold,
        hold_out=True,
        split={"validation": 0.0, "test": 0.0, "by": "random"},
    ).failed
    assert failed.message.startswith(
        "folds: the smallest class of 'side' has 2 training rows, fewer than the 3"
    )
