"""The suite over some algorithms: trials prepared, one other process for all, and each checked."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from headrace.specs.algorithms import Algorithm, algorithm
from headrace.specs.task import TASK_FILE, Task
from headrace_workers.engine.context import OUT_FOLDER
from headrace_workers.engine.kinds.train import PACKAGE_FILE
from headrace_workers.testing import checks, description, runs, twin
from headrace_workers.testing.trials import Trial, trials
from headrace_workers.testing.twin import Answer, Order

OTHER_SEED = 1


class Nonconforming(AssertionError):
    """An algorithm does not do what every algorithm must; the text says what, a line each."""


class _Prepared(NamedTuple):
    name: str
    trial: Trial
    task: Task
    orders: list[int]


def check(*names: str, thorough: bool = False) -> None:
    """Check the algorithms called ``names``. Raises `Nonconforming` with all that is wrong.

    Raises `headrace.errors.Invalid` for a name that no installed algorithm has.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-testing-") as folder:
        suite = Suite(Path(folder), names, thorough=thorough)
        found = [problem for name in names for problem in suite.problems(name)]
    if found:
        raise Nonconforming("\n".join(found))


class Suite:
    """Checks of ``names`` in ``folder``, which is empty; the other process starts with the first of them.

    One suite for many algorithms is cheaper than many: there is one other process for all.
    """

    def __init__(self, folder: Path, names: Iterable[str], *, thorough: bool = False) -> None:
        self._folder = folder
        self._thorough = thorough
        self._algorithms: dict[str, Algorithm] = {name: algorithm(name) for name in names}
        self._described = {n: [*description.problems(a)] for n, a in self._algorithms.items()}
        self._orders: list[Order] = []
        self._prepared = [p for name in self._algorithms for p in self._prepare(name)]

    def check(self, name: str) -> None:
        """Raise `Nonconforming` when anything is wrong with the algorithm called ``name``."""
        found = list(self.problems(name))
        if found:
            raise Nonconforming("\n".join(found))

    def problems(self, name: str) -> Iterator[str]:
        """Yield what is wrong with the algorithm called ``name``, a line each."""
        for problem in self._described[name]:
            yield f"{name}: {problem}"
        answers = self._answers.answers
        if self._answers.heavy:
            yield f"{name}: reading the catalogue imports {', '.join(self._answers.heavy)}"
        for prepared in self._prepared:
            if prepared.name == name:
                mine = [answers[order] for order in prepared.orders]
                for problem in checks.problems(self._subject(prepared, mine)):
                    yield f"{name}, {prepared.trial.name}: {problem}"

    @cached_property
    def _answers(self) -> twin.Answers:
        return twin.ask(self._folder, self._orders, sys.path) if self._orders else twin.Answers()

    def _subject(self, prepared: _Prepared, answers: list[Answer]) -> checks.Subject:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        (folder / runs.DATA_FILE).symlink_to(self._orders[prepared.orders[0]].folder / runs.DATA_FILE)
        return checks.Subject(
            algorithm=self._algorithms[prepared.name],
            trial=prepared.trial,
            task=prepared.task,
            folder=folder,
            every_cut=self._thorough,
            answer=answers[0],
            reseeded=answers[1] if len(answers) > 1 else None,
        )

    def _prepare(self, name: str) -> Iterator[_Prepared]:
        described = self._algorithms[name]
        if self._described[name]:
            return
        for number, trial in enumerate(trials(described, thorough=self._thorough)):
            folder = self._folder / f"{name}-{number}"
            task = runs.train_task(folder, described, trial)
            orders = [self._order(folder, task, measure=self._thorough and described.streams and not number)]
            predicting = folder.with_name(f"{folder.name}-predict")
            predict = runs.predict_task(predicting, trial, folder / OUT_FOLDER / PACKAGE_FILE)
            (predicting / TASK_FILE).write_text(predict.model_dump_json())
            self._orders[orders[0]].predict = predicting
            if not number:
                again = folder.with_name(f"{folder.name}-seed")
                orders.append(self._order(again, runs.train_task(again, described, trial, seed=OTHER_SEED)))
            yield _Prepared(name, trial, task, orders)

    def _order(self, folder: Path, task: Task, *, measure: bool = False) -> int:
        (folder / TASK_FILE).write_text(task.model_dump_json())
        self._orders.append(Order(folder=folder, measure=measure))
        return len(self._orders) - 1
