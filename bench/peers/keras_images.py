"""What a practitioner writes without Headrace: a convolutional network, its shape given, in one script.

Usage: `python bench/peers/keras_images.py PARTS.npz '{"filters": [32, 64], "dense": [], "epochs": 5}'`.
Prints one JSON object: the accuracy on the test rows.
"""

import json
import sys

import keras
import numpy as np
from keras import layers

data, params = np.load(sys.argv[1]), json.loads(sys.argv[2])
x_train, x_test = (data[part].astype("float32")[..., None] / 255 for part in ("x_train", "x_test"))


def normalised(*args, layer, **kwargs):
    if not params.get("batch_norm"):
        return [layer(*args, activation="relu", **kwargs)]
    return [layer(*args, use_bias=False, **kwargs), layers.BatchNormalization(), layers.Activation("relu")]


keras.utils.set_random_seed(0)
network = [keras.Input(x_train.shape[1:])]
for filters in params.get("filters", [32, 64]):
    network += [*normalised(filters, 3, layer=layers.Conv2D), layers.MaxPooling2D()]
network += [layers.Flatten(), layers.Dropout(params.get("dropout", 0.0))]
for units in params.get("dense", []):
    network += [*normalised(units, layer=layers.Dense), layers.Dropout(params.get("dropout", 0.0))]
model = keras.Sequential([*network, layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
epochs, rows = params.get("epochs", 5), len(x_train)
if params.get("schedule") == "cosine":
    model.optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(0.001, epochs * -(-rows // 32))
model.fit(x_train, data["y_train"], batch_size=32, epochs=epochs, verbose=0)
_, accuracy = model.evaluate(x_test, data["y_test"], verbose=0)
print(json.dumps({"accuracy": accuracy}))
