"""Networks made elsewhere: uploaded as they are, and then started from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import learning
from acceptance.hostile import keras_files
from headrace_workers.engine.backbones import package
from headrace_workers.engine.package import Package
from headrace_workers.engine.training import determinism

SPLIT = {"validation": 0.0, "test": 0.3, "by": "random"}


def _uploaded(folder: Path, file: Path) -> learning.Ran:
    spec = {"model": "net", "digest": "sha256:0", "size_bytes": 1}
    return learning.run(folder, "upload", spec, None, source=file)


def _saved(folder: Path, make: Callable[[], Any]) -> tuple[Any, Path]:
    determinism.configure(1, deterministic=True)
    model = make()
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(1.0 if "variance" in weight.path else 0.0, 0.1, weight.shape))
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "net.keras")
    return model, folder / "net.keras"


def _digits() -> Any:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.1),
            layers.Flatten(),
            layers.Dense(10),
            layers.Softmax(),
        ]
    )


def _headless() -> Any:
    entry = keras.Input((8, 8, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(entry)
    x = layers.Add()(
        [layers.Conv2D(8, 3, padding="same")(x), layers.SeparableConv2D(8, 3, padding="same")(x)]
    )
    return keras.Model(entry, layers.ReLU(max_value=6.0)(x))


def _recurrent() -> Any:
    entry = keras.Input((8, 8, 1))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(layers.Reshape((8, 8))(entry))
    x = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 4)(x, x))
    return keras.Model(entry, layers.Dense(2, activation="softmax")(x))


@pytest.mark.parametrize("make", [_digits, _headless, _recurrent])
def test_what_is_uploaded_computes_what_it_did(tmp_path: Path, make: Callable[[], Any]) -> None:
    model, file = _saved(tmp_path / "made", make)
    ran = _uploaded(tmp_path / "up", file)
    result = ran.done.result
    assert result["parameters"] == model.count_params()
    assert result["keras_version"] == keras.__version__
    assert set(result["params"]["architecture"]) == {"class_name", "config"}
    pixels = np.random.default_rng(1).integers(0, 256, (3, *model.input_shape[1:])).astype(np.uint8)
    scaled = pixels.astype(np.float32) / (1 if make is _headless else 255)
    backbone = package.load(ran.package)
    assert np.allclose(backbone({"image": pixels}), model(scaled), atol=1e-6)
    again = _uploaded(tmp_path / "again", file)
    assert again.done.result["weights_digest"] == result["weights_digest"]


def test_training_starts_from_it(tmp_path: Path, digits: learning.Data) -> None:
    _, file = _saved(tmp_path / "made", _digits)
    up = _uploaded(tmp_path / "up", file)
    params: dict[str, Any] = {"epochs": 1, "frozen_epochs": 1}

    def learned(run: learning.Ran) -> dict[str, Any]:
        return Package.load(run.package).predictor.learner.learned()

    first, again = (
        learning.train(
            tmp_path / name,
            digits,
            "image_transfer",
            "label",
            backbone=up.package,
            params=params,
            split=SPLIT,
            features=["image"],
        )
        for name in ("a", "b")
    )
    assert first.done.result["weights_digest"] == again.done.result["weights_digest"]
    kernel = next(w.numpy() for w in package.load(up.package).weights if w.path == "conv2d_1/kernel")
    assert np.array_equal(learned(first)["conv2d_1/kernel"], kernel)
    # What stands below its dense layer: 8 values at each of 36 places.
    assert learned(first)["output/kernel"].shape == (288, 10)
    params = {"architecture": up.done.result["params"]["architecture"], "epochs": 1, "learning_rate": 1e-9}
    tuned = learning.train(
        tmp_path / "c", digits, "keras", "label", backbone=up.package, params=params, split=SPLIT
    )
    assert np.allclose(learned(tuned)["conv2d_1/kernel"], kernel, atol=1e-6)


def test_weights_that_do_not_fit_their_network_are_refused(tmp_path: Path) -> None:
    other = keras_files.hdf5(kernel=np.ones((63, 2), np.float32))
    more = keras_files.hdf5(lambda f: f.create_dataset("layers/more/vars/0", data=np.zeros(2, np.float32)))
    for name, weights, says in (("a", other, "do not fit its network"), ("b", more, "holds 3 arrays")):
        (tmp_path / name).write_bytes(keras_files.keras(weights=weights))
        failed = _uploaded(tmp_path / f"up-{name}", tmp_path / name).failed
        assert failed.error == "BadData"
        assert says in failed.message
