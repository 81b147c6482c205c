"""What a practitioner writes without Headrace: a convolutional network on spectrograms, in one script.

Usage: `python bench/peers/keras_sounds.py PARTS.npz RATE`. Prints one JSON list: the class of each test row.
"""

import json
import sys

import keras
import numpy as np
from keras import layers

data = np.load(sys.argv[1])
RATE, EPOCHS, BATCH = int(sys.argv[2]), 40, 32

spectrogram = layers.MelSpectrogram(
    fft_length=512, sequence_stride=160, sequence_length=400, sampling_rate=RATE, num_mel_bins=64
)
x_train, x_test = (
    np.concatenate([np.asarray(spectrogram(block)) for block in np.array_split(data[part], 20)])[..., None]
    for part in ("x_train", "x_test")
)
mean, deviation = x_train.mean(), x_train.std()
x_train, x_test = (x_train - mean) / deviation, (x_test - mean) / deviation
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
        layers.Dense(int(data["y_train"].max()) + 1, activation="softmax"),
    ]
)
model.compile(
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.001, steps)),
    "sparse_categorical_crossentropy",
)
model.fit(x_train, data["y_train"], batch_size=BATCH, epochs=EPOCHS, verbose=0)
print(json.dumps(model.predict(x_test, verbose=0).argmax(axis=1).tolist()))
