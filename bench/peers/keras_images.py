"""What a practitioner writes without Headrace: a convolutional network, in one script.

Usage: `python bench/peers/keras_images.py PARTS.npz`. Prints one JSON list: the class of each test row.
"""

import json
import sys

import keras
import numpy as np
from keras import layers

data = np.load(sys.argv[1])
x_train, x_test = (data[part].astype("float32")[..., None] / 255 for part in ("x_train", "x_test"))

EPOCHS, BATCH = 10, 32
steps = EPOCHS * -(-len(x_train) // BATCH)

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input(x_train.shape[1:]),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(128, activation="relu"),
        layers.Dropout(0.3),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.001, steps)),
    "sparse_categorical_crossentropy",
)
model.fit(x_train, data["y_train"], batch_size=BATCH, epochs=EPOCHS, verbose=0)
print(json.dumps(model.predict(x_test, verbose=0).argmax(axis=1).tolist()))
