"""Train a version again from its lineage alone, and say whether the same came out."""

from __future__ import annotations

from headrace.specs.task import Done, Task
from headrace_workers.engine import comparison
from headrace_workers.engine.context import Context
from headrace_workers.engine.package import Package
from headrace_workers.engine.training.pipeline import FITTED, Training


def run(task: Task, context: Context) -> Done:
    """Run one attempt of a reproduce job; nothing of the version but its spec is used for training.

    Raises `BadSpec` and `BadData` as training does, and `BadSpec` where the version's algorithm is no more.
    """
    training = Training(task, context)
    predictor = training.learn()
    context.progress(FITTED, "comparing")
    # Only now: what loading does to the process must not have a part in the training.
    original = Package.load(context.input("package"), threads=training.threads)
    verdict = comparison.compare(
        original,
        predictor,
        environment=training.environment,
        lineage=task.lineage,
        rows=training.rows,
        spec=training.spec,
    )
    context.progress(1.0, "done")
    return Done(result=verdict, outputs={})
