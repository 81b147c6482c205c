"""Networks and the forest, below the jobs: bits that do not depend on how the work is divided."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import linear_model

from headrace_workers.engine.algorithms.base import Arrays, Learner, Problem, State, TensorSpec
from headrace_workers.engine.algorithms.cnn import Cnn, CnnParams
from headrace_workers.engine.algorithms.logistic_regression import (
    LogisticRegression,
    LogisticRegressionParams,
)
from headrace_workers.engine.algorithms.mlp import Mlp, MlpParams
from headrace_workers.engine.algorithms.params import Augmentation
from headrace_workers.engine.algorithms.random_forest import RandomForest, RandomForestParams
from headrace_workers.engine.package import weights_digest
from headrace_workers.engine.training import steps
from headrace_workers.engine.training.determinism import EPOCH_ORDER, epoch_order
from headrace_workers.engine.training.plateau import Plateau
from headrace_workers.engine.training.rows import Rows

IMAGES = Problem("classification", {"image": TensorSpec((12, 12, 1), "uint8")}, 3)
COUNT = 150


class Monitor:
    """Keeps what it is told; calls ``at_cut`` wherever the fit may be cut."""

    def __init__(self, at_cut: Any = None) -> None:
        self.curve: dict[str, list[float]] = {}
        self._at_cut = at_cut

    def progress(self, fraction: float, message: str = "") -> None:
        assert 0 <= fraction <= 1

    def metric(self, name: str, step: int, value: float) -> None:
        self.curve.setdefault(name, []).append(value)

    def cut(self, learner: Learner, position: str) -> None:
        if self._at_cut:
            self._at_cut(learner)


def _data() -> tuple[Arrays, Any]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, COUNT).astype(np.int32)
    images = rng.integers(0, 100, (COUNT, 12, 12, 1)) + targets[:, None, None, None] * 50
    return {"image": images.astype(np.uint8)}, targets


def _rows(folder: Path, memory_limit: int = 10**9) -> Rows:
    inputs, targets = _data()
    rows = Rows.allocate(COUNT, IMAGES.inputs, "int32", folder / "rows", memory_limit)
    for start in range(0, COUNT, 64):
        rows.append({"image": inputs["image"][start : start + 64]}, targets[start : start + 64])
    return rows


def _digest(learner: Learner) -> str:
    return weights_digest(learner.learned())


def _trained(rows: Rows, params: CnnParams, problem: Problem = IMAGES) -> str:
    learner = Cnn(params, problem)
    learner.fit(rows, rows, Monitor())
    return _digest(learner)


def test_the_weights_are_those_of_keras_own_fit(tmp_path: Path) -> None:
    params = CnnParams(epochs=2, filters=[4, 8], dense=[], dropout=0.0, schedule=None)
    ours, keras = Cnn(params, IMAGES), Cnn(params, IMAGES)
    monitor = Monitor()
    ours.fit(_rows(tmp_path), None, monitor)
    inputs, targets = _data()
    keras.model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    losses = []
    for epoch in range(2):
        order = epoch_order(0, epoch, COUNT)
        shuffled = {"image": inputs["image"][order]}
        run = keras.model.fit(shuffled, targets[order], batch_size=32, shuffle=False, verbose=0)
        losses.append(run.history["loss"][0])
    assert _digest(ours) == _digest(keras)
    assert monitor.curve["loss"] == pytest.approx(losses, rel=1e-5)


def test_bits_depend_on_the_seed_but_not_on_memory_or_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = CnnParams(epochs=2, filters=[4], dense=[8], dropout=0.3, l2=0.001)
    memory, file = _rows(tmp_path), _rows(tmp_path, memory_limit=0)
    assert memory.in_memory
    assert not file.in_memory
    digest = _trained(memory, params)
    assert _trained(file, params) == digest
    file.close()
    monkeypatch.setattr(steps, "FIRST_CALL_STEPS", 1)
    monkeypatch.setattr(steps, "CALL_S", 0.0)
    assert _trained(memory, params) == digest
    other = Problem(IMAGES.task, IMAGES.inputs, IMAGES.outputs, seed=1)
    assert _trained(memory, params, other) != digest


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    orders = [epoch_order(seed, epoch, 50).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == list(range(50)) for order in orders)


AUGMENTATION = Augmentation(flip="both", rotation=20, shift=0.1, zoom=0.1, brightness=0.1, contrast=0.1)
STOPPING = {"dropout": 0.5, "early_stopping": 2, "plateau": 1, "learning_rate": 0.3}
# The loss on training rows is then the noise of dropout, which does not fall epoch after epoch.
STILL = STOPPING | {"learning_rate": 1e-7}
REGULARISED: dict[str, Any] = {
    "augmentation": AUGMENTATION,
    "batch_norm": True,
    "dropout": 0.2,
    "l1": 0.001,
    "class_weight": "balanced",
    "optimizer": "adamw",
    "clip_norm": 1.0,
    "schedule": "cosine",
    "warmup": 0.3,
}


@pytest.mark.parametrize(("options", "validated"), [(STOPPING, True), (STILL, False), (REGULARISED, True)])
def test_a_fit_cut_anywhere_ends_where_the_undisturbed_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], validated: bool
) -> None:
    monkeypatch.setattr(steps, "FIRST_CALL_STEPS", 1)
    monkeypatch.setattr(steps, "CALL_S", 0.0)
    params = CnnParams(epochs=4, filters=[4], dense=[8], **options)
    rows = _rows(tmp_path)
    validation = rows if validated else None
    states: list[Any] = []
    whole, monitor = Cnn(params, IMAGES), Monitor(at_cut=lambda learner: states.append(learner.state()))
    whole.fit(rows, validation, monitor)
    assert len(states) >= 10  # 5 steps an epoch
    assert len(set(monitor.curve["learning_rate"])) > 1
    for state in (states[1], states[4], states[7], states[-1]):
        # As it comes back from a file.
        values = json.loads(json.dumps(state.values))
        resumed = Cnn(params, IMAGES)
        resumed.load_state(State(state.arrays, values))
        # In calls of another size.
        monkeypatch.setattr(steps, "FIRST_CALL_STEPS", 3)
        again = Monitor()
        resumed.fit(rows, validation, again)
        assert _digest(resumed) == _digest(whole)
        for name, curve in monitor.curve.items():
            assert curve[state.values["epoch"] :] == again.curve.get(name, [])
        end, expected = resumed.state(), whole.state()
        assert end.values == expected.values
        assert all(np.array_equal(end.arrays[name], expected.arrays[name]) for name in expected.arrays)


def test_the_learning_rate_falls_when_the_loss_does_not() -> None:
    class Rate:
        value = 1.0

        def __mul__(self, factor: float) -> float:
            return self.value * factor

        def assign(self, value: float) -> None:
            self.value = value

    rate, plateau, seen = Rate(), Plateau(2), []
    for loss in (5.0, 4.0, 4.0, 4.5, 4.5, 4.1, 3.0, 3.0, 2.9):
        resumed = Plateau(2)
        resumed.load_state(plateau.state())
        resumed.update(loss, rate)
        plateau = resumed
        seen.append(rate.value)
    assert seen == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    state = Cnn(CnnParams(filters=[4]), IMAGES).state()
    with pytest.raises(ValueError, match="shape"):
        Cnn(CnnParams(filters=[8]), IMAGES).load_state(state)
    with pytest.raises(KeyError):
        Cnn(CnnParams(filters=[4], dense=[3]), IMAGES).load_state(State({}, state.values))


@pytest.mark.parametrize("count", [1, 255, 256, 70_000])
def test_the_order_of_rows_is_numpys_and_takes_few_bytes(count: int) -> None:
    """Versions of before must be made again with it."""
    order = epoch_order(5, 3, count)
    wanted = np.random.default_rng([5, EPOCH_ORDER, 3]).permutation(count)
    assert order.tolist() == wanted.tolist()
    assert order.itemsize <= 4


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_every_optimizer_learns(optimizer: Any) -> None:
    x = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)
    problem = Problem("regression", {"table": TensorSpec((3,), "float32")}, 1, scale=7.0)
    rows = Rows.allocate(256, problem.inputs, "float32", Path("unused"))
    targets = (x @ np.array([0.5, -0.4, 0.3])).astype(np.float32)
    rows.append({"table": x}, targets)
    params = MlpParams(epochs=20, hidden=[], optimizer=optimizer, learning_rate=0.01, early_stopping=None)
    learner = Mlp(params, problem)
    monitor = Monitor()
    learner.fit(rows, rows, monitor)
    assert monitor.curve["loss"][-1] < 0.01 < monitor.curve["loss"][0]
    error = np.abs(learner.predict({"table": x}) - targets).mean() * 7
    assert monitor.curve["val_mae"][-1] == pytest.approx(error, rel=1e-4)


def test_logistic_regression_has_the_penalty_of_a_normal_prior() -> None:
    """As scikit-learn has by default, whose optimum is exact."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    targets = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0).astype(np.int64)
    problem = Problem("classification", {"table": TensorSpec((3,), "float32")}, 3)
    rows = Rows.allocate(40, problem.inputs, "int64", Path("unused"))
    rows.append({"table": x}, targets)
    learner = LogisticRegression(LogisticRegressionParams(epochs=1000, batch_size=64), problem)
    learner.fit(rows, None, Monitor())
    peer = linear_model.LogisticRegression().fit(x, targets)
    assert learner.predict({"table": x}) == pytest.approx(peer.predict_proba(x), abs=0.005)


@pytest.mark.parametrize("options", [{}, {"dense": [4], **REGULARISED}])
def test_a_saved_network_predicts_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    params = CnnParams(epochs=1, filters=[4], **options)
    learner = Cnn(params, IMAGES)
    learner.fit(_rows(tmp_path), None, Monitor())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        learner.save(tmp_path / name)
    assert (tmp_path / "a/model.keras").read_bytes() == (tmp_path / "b/model.keras").read_bytes()
    with zipfile.ZipFile(tmp_path / "a/model.keras") as source:
        assert json.loads(source.read("metadata.json")).keys() == {"keras_version"}
    loaded = Cnn.load(tmp_path / "a", params, IMAGES)
    inputs, _ = _data()
    assert np.array_equal(loaded.predict(inputs), learner.predict(inputs))
    assert _digest(loaded) == _digest(learner)


def test_the_default_network_with_nothing_dense_is_the_reference_network() -> None:
    problem = Problem("classification", {"image": TensorSpec((28, 28, 1), "uint8")}, 10)
    model = Cnn(CnnParams(dense=[], dropout=0.0), problem).model
    kinds = [type(layer).__name__ for layer in model.layers]
    expected = "InputLayer Rescaling Conv2D MaxPooling2D Conv2D MaxPooling2D Flatten Dense"
    assert kinds == expected.split()
    # 32 * (9 + 1) + 64 * (9 * 32 + 1) + 10 * (5 * 5 * 64 + 1)
    assert model.count_params() == 34_826


@pytest.mark.parametrize("side", [4, 8, 9, 31])
def test_small_images_fit_through_the_default_network(side: int) -> None:
    problem = Problem("classification", {"image": TensorSpec((side, side + 5, 3), "uint8")}, 2)
    assert Cnn(CnnParams(), problem).model.count_params() > 0


def test_threads_do_not_change_a_forest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = {"table": TensorSpec((4,), "float32")}
    rows = Rows.allocate(200, inputs, "int32", tmp_path / "rows")
    x = rng.normal(size=(200, 4)).astype(np.float32)
    rows.append({"table": x}, (x[:, 0] > 0).astype(np.int32))
    files, digests = set(), set()
    for threads in (1, 2):
        forest = RandomForest(
            RandomForestParams(trees=20), Problem("classification", inputs, 2, threads=threads)
        )
        forest.fit(rows, None, Monitor())
        forest.save(tmp_path)
        files.add((tmp_path / "model.skops").read_bytes())
        digests.add(_digest(forest))
    assert len(files) == len(digests) == 1
    loaded = RandomForest.load(tmp_path, RandomForestParams(trees=20), Problem("classification", inputs, 2))
    assert np.array_equal(loaded.predict({"table": x}), forest.predict({"table": x}))
