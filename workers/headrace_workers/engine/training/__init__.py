"""Training: rows in, the same weights to the bit out, faster than ``model.fit``.

- `rows`: encoded rows of fixed width, in memory or, above a limit, in a file of the scratch folder; both
  are read by index, so that the order of rows, and with it every bit, is the same for both.
- `encode`: a part of a dataset into such rows, once.
- `pipeline`: from a task to a learner that has learned, for every kind that trains.
- `checkpoint`: the states that a fit leaves on its way as files, and how an attempt resumes from one.
- `fit`: epochs, learning curves, `early_stopping`, `plateau`, and the state between two calls of `steps`.
- `objective`: the loss, and the figure beside it that people read.
- `steps`: the optimizer's steps. One call runs many of them in a graph: 1.5 to 2 times as fast as one call
  of Keras each, to the same bits. Tracing costs half a second, so a fit traces once.
- `forward`: predictions in blocks of one fixed size, so that a row's bits do not depend on its neighbours.
- `determinism`: threads and seeds. The order of rows in an epoch is drawn from ``[seed, epoch]``, never from
  a running generator, so that a resumed fit sees what the undisturbed one saw.
- `keras_file`, `skops_file`: models as files, written to equal bytes, read without running what they hold.
"""
