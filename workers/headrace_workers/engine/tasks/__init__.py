"""What can be learned: one module a task, found by `task`, each with one `base.Task` called ``TASK``.

A task is everything that a learner should not have to know: what a target is and how it is encoded, what a
learner's values mean, which columns and JSON they become, and how good they are. It has no state. What it
fits on training rows is its *target*, plain data (`engine.data.target.Target`) that a version keeps as JSON
beside the preprocessing; where nothing is learned of a column, the target is what else the task must keep.

::

    data ── divide ──▶ parts ── fit ──▶ preprocessing, target ── encode ──▶ Rows ──▶ learner.fit
                                                                          finish ──▶ target, whole
    data ── preprocessing.encode ──▶ learner.predict ── decode ──▶ values ─┬─ columns ──▶ a predict job's file
                                                                           ├─ answers ──▶ JSON, online
                                                                           └─ evaluation ──▶ metrics

Each arrow is a method of `base.Task`. What most tasks share stands there: a row of data is a row of a
learner, and one row or one answer comes out of it. A task to which that does not apply has ways of its own:

- ``divide``, ``fit``, ``encode``: its own rows (windows of a series, pairs of numbers), with a subclass of
  `Preprocessing` as ``preprocessing_class`` where encoders of single columns are not all there is to keep;
- ``predictions``: its own way through a predict job; ``answer``: its own online;
- ``evaluate``: its own way through an evaluation, in training and in evaluate jobs.

Names of tasks, whether they need a target, and which columns may be one stand in ``headrace.specs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.specs.base import TaskType

if TYPE_CHECKING:
    from headrace_workers.engine.tasks.base import Task


def task(name: TaskType) -> Task[Any]:
    """Return the task called ``name``. Raises KeyError."""
    from headrace_workers.engine.tasks import (
        anomaly,
        classification,
        clustering,
        embedding,
        forecast,
        recommendation,
        regression,
    )

    tasks: dict[str, Task[Any]] = {
        "classification": classification.TASK,
        "forecast": forecast.TASK,
        "recommendation": recommendation.TASK,
        "regression": regression.TASK,
        "clustering": clustering.TASK,
        "embedding": embedding.TASK,
        "anomaly": anomaly.TASK,
    }
    return tasks[name]
