"""What a practitioner writes without Headrace: a text network, its kind given, in one script.

Usage: `python bench/peers/keras_texts.py TEXTS.csv '{"kind": "lstm"}'`. Prints one JSON list: the label of
each test row. The kinds are lstm, text_cnn, transformer and plain (embedding 10,000 to 16, LSTM 32, dense 2).
"""

import csv
import json
import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers

WORDS, LENGTH = 10_000, 48

with open(sys.argv[1], newline="") as file:
    rows = list(csv.DictReader(file))
kind = json.loads(sys.argv[2])["kind"]
parts = np.array([row["part"] for row in rows])
texts = np.array([row["text"] for row in rows], object)
classes, targets = np.unique([row["label"] for row in rows], return_inverse=True)

keras.utils.set_random_seed(0)
vectorize = layers.TextVectorization(WORDS, output_sequence_length=LENGTH)
vectorize.adapt(texts[parts == "train"])
x = vectorize(tf.constant(texts.tolist())).numpy()
if kind == "plain":
    # As Keras' pad_sequences does by default: without a mask, an LSTM forgets what padding follows.
    x = np.array([np.concatenate([row[row == 0], row[row != 0]]) for row in x])

inputs = keras.Input((LENGTH,), dtype="int32")
if kind == "lstm":
    y = layers.Dropout(0.5)(layers.Embedding(WORDS, 64, mask_zero=True)(inputs))
    y = layers.Dropout(0.5)(layers.Bidirectional(layers.LSTM(64))(y))
elif kind == "text_cnn":
    y = layers.Embedding(WORDS, 128)(inputs)
    y = [
        layers.GlobalMaxPooling1D()(layers.Conv1D(100, width, padding="same", activation="relu")(y))
        for width in (3, 4, 5)
    ]
    y = layers.Dropout(0.5)(layers.Concatenate()(y))
elif kind == "transformer":
    positions = layers.Embedding(LENGTH, 64)(tf.range(LENGTH))
    mask = keras.ops.not_equal(inputs, 0)
    y = layers.Embedding(WORDS, 64)(inputs) + positions
    z = layers.LayerNormalization()(y)
    y = y + layers.MultiHeadAttention(4, 16, dropout=0.3)(z, z, value_mask=mask)
    z = layers.Dense(128, activation="gelu")(layers.LayerNormalization()(y))
    y = layers.LayerNormalization()(y + layers.Dropout(0.3)(layers.Dense(64)(z)))
    y = layers.Dropout(0.3)(layers.GlobalAveragePooling1D()(y, mask=mask))
else:
    y = layers.LSTM(32)(layers.Embedding(WORDS, 16)(inputs))
model = keras.Model(inputs, layers.Dense(len(classes), activation="softmax")(y))
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(
    x[parts == "train"],
    targets[parts == "train"],
    validation_data=(x[parts == "validation"], targets[parts == "validation"]),
    epochs=10,
    callbacks=[keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)],
    verbose=0,
)
found = model.predict(x[parts == "test"], verbose=0).argmax(axis=1)
print(json.dumps(classes[found].tolist()))
