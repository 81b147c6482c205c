"""What a practitioner writes without Headrace: the reference network on MNIST, in one script.

Usage: `python bench/peers/plain_keras.py MNIST.npz`. Prints one JSON object; the caller times the process.
"""

import json
import sys

import keras
import numpy as np

data = np.load(sys.argv[1])
x_train, x_test = (data[part].astype("float32")[..., None] / 255 for part in ("x_train", "x_test"))
y_train, y_test = data["y_train"], data["y_test"]

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=32, epochs=5, verbose=0)
_, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(json.dumps({"accuracy": accuracy, "test_rows": len(y_test)}))
