"""Networks from uploaded ``.keras`` files, to start from: how one is read without trusting it.

::

    upload ── keras_zip: members, config ──▶ architecture.parse ──▶ Architecture ─┐
                  └ weights: HDF5 ──▶ arrays ──▶ HDF5 of our own ── network.build ┴▶ Keras model ──▶ backbone

Keras deserialises nothing of the upload: its config is read by the allow-list of `engine.architecture`, and
the file of weights that Keras reads is one that `weights` has written from plain arrays. What a zip or an
HDF5 file can hold beside a network (code, links, other files, compression, sizes without end) is refused by
content, before anything of that size is allocated. All of it happens in a job process.

A backbone's package (`package`) holds the model as `training.keras_file` writes it, and a manifest.
"""
