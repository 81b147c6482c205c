"""What the tasks share that learn of the features alone. A target, where there is one, is evaluated by."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.target import Target
from headrace_workers.engine.tasks.base import Goal, Task, fit_rows

if TYPE_CHECKING:
    from headrace_workers.engine.training.pipeline import Training

T = TypeVar("T", bound=Target)


class UnlabelledTask(Task[T]):
    """A task whose rows have inputs and no target: a learner's `Rows` have targets of shape (0,).

    ``target_class`` has a default for every field but column and type; `finish` fills in the others.
    """

    learns_target: ClassVar[bool] = False

    def fit(self, training: Training) -> tuple[Preprocessing, T]:
        """See `Task.fit`."""
        column = training.spec.target
        kind = None if column is None else training.reader.types[column]
        return fit_rows(training), self.target_class(column=column, type=kind)  # type: ignore[call-arg]

    def goal(self, target: T) -> Goal:
        """How many outputs there are is up to the learner."""
        return Goal(0, shape=(0,))
