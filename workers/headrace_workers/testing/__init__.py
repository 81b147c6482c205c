"""The conformance suite: what every algorithm must do, ours or a plug-in's, as checks that say what is wrong.

A plug-in's whole test::

    from headrace_workers import testing

    def test_it_conforms() -> None:
        testing.check("my_algorithm")

or, on the command line, ``python -m headrace_workers.testing my_algorithm``.

For every task that the algorithm's description declares, `trials` makes small tables that it must be able
to learn, from the types of columns that it declares. Each is trained twice, through the whole engine:

- here, by `recorder`, which keeps the state at every cut, so that the fit can be resumed from there;
- in a process of its own, by `twin`, for all algorithms in one, with its rows in a file instead of in memory,
  together with a run under another seed, the package and a predict job.

`checks` compares the two. ``thorough`` adds a trial for each type of column alone, one with classes of a
single row and constant columns, every cut instead of one, and, where the description says ``streams``, the
memory that a fit of rows far larger than its buffer takes (`memory`).

Threads are one: TensorFlow must not have run in the calling process with more.
"""

from headrace_workers.testing.suite import Nonconforming, Suite, check

__all__ = ["Nonconforming", "Suite", "check"]
