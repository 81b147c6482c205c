"""One training loop on the reference network, in a process of its own: Keras' `fit`, or Headrace's.

Usage: `python bench/peers/epochs.py plain|headrace MNIST.npz EPOCHS`. Prints one JSON object: the seconds of
each epoch, the accuracy on the test rows and, of Headrace, what checkpoints took: a checkpoint a second, 30
times as many as by default, with copying each into an artifact store.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32
INTERVAL_S = 1.0


def plain(data: Any, epochs: int) -> dict[str, Any]:
    """Train with `fit`, as a practitioner would."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            ends.append(time.perf_counter())

    x_train, x_test = (data[part].astype("float32")[..., None] / 255 for part in ("x_train", "x_test"))
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    ends = [time.perf_counter()]
    model.fit(x_train, data["y_train"], BATCH, epochs, verbose=0, callbacks=[Clock()])
    _, accuracy = model.evaluate(x_test, data["y_test"], verbose=0)
    return {"epochs_s": np.diff(ends).tolist(), "accuracy": accuracy}


def headrace(data: Any, epochs: int) -> dict[str, Any]:
    """Train as a job does, by the same network and optimizer."""
    from headrace.artifacts.store import LocalStore, put_file
    from headrace.specs.task import Checkpoint
    from headrace_workers.engine.algorithms.base import Learner, Problem, TensorSpec
    from headrace_workers.engine.algorithms.cnn import Cnn, CnnParams
    from headrace_workers.engine.context import Context
    from headrace_workers.engine.training.checkpoint import Checkpoints
    from headrace_workers.engine.training.rows import Rows

    class Monitor:
        seconds, written = 0.0, 0

        def __init__(self, folder: Path) -> None:
            store = LocalStore(folder / "artifacts")

            def keep(message: Any) -> None:
                if isinstance(message, Checkpoint):
                    put_file(store, folder / "checkpoints" / message.file)
                    self.written += 1

            self._checkpoints = Checkpoints(Context(folder, {}, keep), {}, INTERVAL_S)

        def progress(self, fraction: float, message: str = "") -> None: ...

        def metric(self, name: str, step: int, value: float) -> None:
            if name == "loss":
                ends.append(time.perf_counter())

        def cut(self, learner: Learner, position: str) -> None:
            started = time.perf_counter()
            self._checkpoints.offer(learner, [], position)
            self.seconds += time.perf_counter() - started

    problem = Problem("classification", {"image": TensorSpec((28, 28, 1), "uint8")}, 10)
    rows = Rows.allocate(len(data["x_train"]), problem.inputs, "int32", Path("unused"))
    rows.append({"image": data["x_train"][..., None]}, data["y_train"].astype(np.int32))
    learner = Cnn(CnnParams(epochs=epochs, batch_size=BATCH), problem)
    with tempfile.TemporaryDirectory() as folder:
        monitor = Monitor(Path(folder))
        ends = [time.perf_counter()]
        learner.fit(rows, None, monitor)
    predicted = learner.predict({"image": data["x_test"][..., None]}).argmax(axis=1)
    return {
        "epochs_s": np.diff(ends).tolist(),
        "accuracy": float((predicted == data["y_test"]).mean()),
        "checkpoints": monitor.written,
        "checkpoints_s": monitor.seconds,
    }


if __name__ == "__main__":
    _, loop, path, count = sys.argv
    print(json.dumps({"plain": plain, "headrace": headrace}[loop](np.load(path), int(count))))
