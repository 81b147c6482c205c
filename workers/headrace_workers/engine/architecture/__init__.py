"""Networks brought as data: Keras' own JSON config, read without Keras and without TensorFlow.

::

    JSON ──▶ model.parse ──▶ Architecture ──▶ shapes.infer (shapes, parameters, limits)
                │ entry: one layer               └──▶ build (job process only) ──▶ Keras layers
                │ objects: what layers refer to
                └ core, convolution, pooling, sequence, merging: the layers

A config is what ``model.to_json()`` gives, or ``model.get_config()`` with its class. Nothing in it is ever
handed to Keras to deserialise: each layer is a pydantic model of its own that names every setting it takes,
and `build` calls the constructor of the Keras layer with those settings. What is not named there does not
exist: no Lambda, no custom object, no module path. The web process checks as much as the config alone can
tell, so this package imports nothing heavier than pydantic at its top; the job process checks the rest.

Two things of a config are not kept. Names: layers are named by their kind and place, so that two equal
networks have equal weights whatever counted up where they were made. Seeds: everything random follows from
the seed of the spec.
"""
