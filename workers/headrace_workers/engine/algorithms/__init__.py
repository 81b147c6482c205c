"""The algorithms, one file each, and the protocol that they share.

An algorithm's file holds three things: its ``Params`` (pydantic, the same names in every algorithm, see
`params`), its `headrace.specs.algorithms.Algorithm` called ``ALGORITHM`` that an entry point in
``pyproject.toml`` names, and its `base.Learner`. To add one, write that file and that line; nothing else.

Every process, the web's too, imports these files to know what there is. So they import nothing heavier
than pydantic at their top: NumPy, Keras and scikit-learn are imported inside functions, which only a job
process calls. A test holds every file of the catalogue to it.

What goes in and out of a learner is plain: encoded rows (`headrace_workers.engine.training.rows.Rows`) and
arrays. Which encoding it wants it says in `base.Learner.encoding`; the encoding itself is fitted, stored
and applied by ``engine.data.preprocessing``, the same code in training, batch and online prediction.
"""
