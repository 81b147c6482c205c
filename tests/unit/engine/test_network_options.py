"""What networks can be told beyond their shape: each option does what its description says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight

from headrace.errors import Invalid
from headrace.specs.algorithms import algorithm
from headrace_workers.engine.algorithms.base import Learner, Problem, TensorSpec
from headrace_workers.engine.algorithms.cnn import CnnParams
from headrace_workers.engine.algorithms.mlp import Mlp, MlpParams
from headrace_workers.engine.algorithms.params import Augmentation, NetworkParams
from headrace_workers.engine.training.augmentation import augment, draws
from headrace_workers.engine.training.objective import CrossEntropy, ErrorOfValues, objective
from headrace_workers.engine.training.optimizer import make_optimizer
from headrace_workers.engine.training.rows import Rows


class Quiet:
    def __init__(self) -> None:
        self.curve: dict[str, list[float]] = {}

    def progress(self, fraction: float, message: str = "") -> None: ...

    def metric(self, name: str, step: int, value: float) -> None:
        self.curve.setdefault(name, []).append(value)

    def cut(self, learner: Learner, position: str) -> None: ...


def _rates(rows: int, *steps: int, **params: Any) -> list[float]:
    made = make_optimizer(NetworkParams(**params), rows)
    return [float(made._learning_rate(step)) for step in steps]


def test_schedules_end_with_the_last_step() -> None:
    shape = {"epochs": 4, "batch_size": 32, "learning_rate": 0.1}
    # 100 rows are 4 steps, the last of them smaller: 16 steps in all.
    assert _rates(100, 0, 8, 16, schedule="linear", **shape) == pytest.approx([0.1, 0.05, 0])
    assert _rates(100, 0, 8, 16, schedule="exponential", **shape) == pytest.approx([0.1, 0.01, 0.001])
    assert _rates(100, 0, 8, 16, schedule="cosine", **shape) == pytest.approx([0.1, 0.05, 0], abs=1e-8)
    warm = _rates(100, 0, 2, 4, 10, 16, schedule="cosine", warmup=0.25, **shape)
    assert warm == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-8)


def test_decay_momentum_and_clipping_reach_the_optimizer() -> None:
    def made(**params: Any) -> Any:
        return make_optimizer(NetworkParams(**params), 100)

    assert made(optimizer="adamw").weight_decay == 0.004
    assert made(optimizer="adamw", weight_decay=0.1).weight_decay == 0.1
    assert made().weight_decay is None
    assert made(optimizer="sgd").momentum == 0.9
    assert made(optimizer="sgd", momentum=0.0).momentum == 0
    assert made(optimizer="rmsprop", momentum=0.5).momentum == 0.5
    assert made(clip_norm=2.0).global_clipnorm == 2


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"momentum": 0.5}, "momentum"),
        ({"optimizer": "sgd", "warmup": 0.1, "schedule": "linear"}, "warmup"),
        ({"warmup": 0.1}, "warmup"),
        ({"plateau": 2, "schedule": "cosine"}, "plateau"),
        ({"clip_norm": 0.0}, "clip_norm"),
    ],
)
def test_options_that_contradict_each_other_are_refused(params: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        NetworkParams.model_validate(params)
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


def test_options_that_do_not_fit_the_task_are_refused() -> None:
    mlp = algorithm("mlp")
    params = mlp.check_params({"loss": "huber", "class_weight": "balanced"})
    with pytest.raises(Invalid) as caught:
        mlp.check_fit(params, "regression", "spec", "params")
    assert [error.loc for error in caught.value.errors] == [("spec", "params", "class_weight")]
    with pytest.raises(
        Invalid, match="huber is no loss for a classification: should be crossentropy"
    ) as caught:
        mlp.check_fit(params, "classification", "spec", "params")
    assert [error.loc for error in caught.value.errors] == [("spec", "params", "loss")]
    mlp.check_fit(mlp.check_params({"loss": "mae"}), "regression")


@pytest.mark.parametrize("kind", ["mse", "mae", "huber"])
def test_losses_of_values_are_those_of_keras(kind: str) -> None:
    import keras

    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(64, 1)).astype(np.float32) * 2, rng.normal(size=64).astype(np.float32)
    goal = ErrorOfValues(kind, scale=3.0)
    library = {"mse": keras.losses.MeanSquaredError, "mae": keras.losses.MeanAbsoluteError}
    expected = float(library.get(kind, keras.losses.Huber)()(targets[:, None], outputs))
    loss, metric = goal.graph(outputs, targets)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    sums = goal.sums(outputs[:, 0], targets)
    assert sums == pytest.approx((expected * 64, float(metric)), rel=1e-5)


def _imbalanced() -> tuple[Rows, Problem]:
    problem = Problem("classification", {"table": TensorSpec((1,), "float32")}, 2)
    rng = np.random.default_rng(0)
    rows = Rows.allocate(400, problem.inputs, "int32", Path("unused"))
    targets = (np.arange(400) % 10 == 0).astype(np.int32)
    rows.append({"table": (rng.normal(size=400) + targets)[:, None].astype(np.float32)}, targets)
    return rows, problem


def test_balanced_weights_find_the_rare_class() -> None:
    rows, problem = _imbalanced()
    recalls = []
    for class_weight in (None, "balanced"):
        params = MlpParams(epochs=30, hidden=[], class_weight=class_weight, learning_rate=0.05)
        learner = Mlp(params, problem)
        learner.fit(rows, None, Quiet())
        inputs, targets = rows.all()
        recalls.append((learner.predict(inputs).argmax(axis=1)[targets == 1] == 1).mean())
    assert recalls[0] < 0.2 < 0.5 < recalls[1]


def test_balanced_weights_are_scikit_learns(tmp_path: Path) -> None:
    rows, problem = _imbalanced()
    inputs, targets = rows.all()
    file = Rows.allocate(400, problem.inputs, "int32", tmp_path / "rows", memory_limit=0)
    file.append(inputs, targets)
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=targets)
    for source in (rows, file):
        goal = objective(NetworkParams(class_weight="balanced"), problem, source)
        assert isinstance(goal, CrossEntropy)
        assert goal._weights == pytest.approx(expected)
    file.close()


def test_a_scheduled_rate_is_drawn() -> None:
    rows, problem = _imbalanced()
    monitor = Quiet()
    params = MlpParams(epochs=4, hidden=[2], schedule="linear", learning_rate=0.1, early_stopping=None)
    Mlp(params, problem).fit(rows, None, monitor)
    assert monitor.curve["learning_rate"] == pytest.approx([0.075, 0.05, 0.025, 0], abs=1e-6)


def test_draws_are_a_function_of_seed_epoch_and_row() -> None:
    drawn = draws(1, 2, 50)
    assert drawn.min() >= -1
    assert drawn.max() <= 1
    assert np.array_equal(draws(1, 2, 80)[:50], drawn)
    assert not np.array_equal(draws(1, 3, 50), drawn)
    assert not np.array_equal(draws(2, 2, 50), drawn)


def _augmented(image: Any, drawn: list[float], **how: Any) -> Any:
    return augment(image[None], np.array([drawn], np.float32), Augmentation(**how)).numpy()[0]


def test_each_augmentation_does_what_it_says() -> None:
    image = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6, 1)
    still = [1.0] * 9
    assert np.array_equal(_augmented(image, still, flip="both"), image)
    assert np.array_equal(_augmented(image, [-1.0] * 9, flip="horizontal"), image[:, ::-1])
    assert np.array_equal(_augmented(image, [-1.0] * 9, flip="vertical"), image[::-1])
    square = image[:, :4]
    turned = _augmented(square, still, rotation=90.0)
    assert np.array_equal(turned, np.rot90(square)) or np.array_equal(turned, np.rot90(square, -1))
    assert np.array_equal(_augmented(image, [1, 1, 0, 0, 1, 0, 0, 0, 0], shift=0.25)[:-1], image[1:])
    lighter = _augmented(image, still, brightness=0.1)
    assert np.array_equal(lighter, np.minimum(np.round(image + 25.5), 255).astype(np.uint8))
    stronger = _augmented(image, still, contrast=0.5)
    mean = image.mean()
    assert np.array_equal(stronger, np.clip(np.round(mean + (image - mean) * 1.5), 0, 255).astype(np.uint8))
    zoomed = _augmented(image, still, zoom=0.5)
    assert zoomed.min() > image.min()
    assert zoomed.max() < image.max()


def test_a_plateau_takes_the_place_of_the_default_schedule() -> None:
    assert CnnParams().schedule == "cosine"
    assert CnnParams(plateau=3).schedule is None
    with pytest.raises(ValidationError, match="schedule"):
        CnnParams(plateau=3, schedule="cosine")


def test_few_rows_are_gone_through_more_often() -> None:
    assert [CnnParams().epochs_of(rows) for rows in (1, 75, 800, 5_000, 60_000)] == [100, 100, 40, 10, 10]
    assert CnnParams(epochs=3).epochs_of(75) == 3
