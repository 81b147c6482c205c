"""What jobs must learn, worked out in this process by the same learners, where nothing disturbs them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from headrace_test_learners import Scripted, ScriptedParams, Walk, WalkParams
from pydantic import BaseModel

from headrace.specs.base import Column
from headrace.specs.task import Task
from headrace_workers.engine.algorithms.base import Arrays, Learner, Monitor, Problem
from headrace_workers.engine.context import Context
from headrace_workers.engine.package import weights_digest
from headrace_workers.engine.training.pipeline import Training

if TYPE_CHECKING:
    from headrace_workers.engine.training.rows import Rows


class Recorder(Walk):
    """Remembers what it was given to learn from."""

    inputs: Arrays = {}
    problem_given: Problem

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        given, _ = training.all()
        Recorder.inputs = {name: np.array(values) for name, values in given.items()}
        Recorder.problem_given = self.problem


class _Kept:
    """Rows that are there already."""

    def all(self) -> tuple[Arrays, None]:
        return Recorder.inputs, None


class _Deaf:
    def progress(self, fraction: float, message: str = "") -> None: ...

    def metric(self, name: str, step: int, value: float) -> None: ...

    def cut(self, learner: Learner, position: str) -> None: ...


class Undisturbed:
    """Digests of what is learned from the table ``data`` by the resolved train spec ``spec``."""

    def __init__(self, data: Path, columns: list[dict[str, Any]], spec: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(data, Path(folder) / "data")
            task = Task(
                job="job_undisturbed",
                kind="train",
                attempt=1,
                spec={**spec, "params": {}},
                inputs={"data": "data"},
                columns=[Column.model_validate(column) for column in columns],
                code="chaos.undisturbed:Recorder",
            )
            Training(task, Context(Path(folder), task.inputs, _ignore)).learn()
        self._problem = Recorder.problem_given

    def walk(self, seed: int, steps: int) -> str:
        """Return the digest of a walk."""
        problem = Problem(
            task=self._problem.task,
            inputs=self._problem.inputs,
            outputs=self._problem.outputs,
            scale=self._problem.scale,
            seed=seed,
        )
        walk = Walk(WalkParams(steps=steps), problem)
        walk.fit(_Kept(), None, _Deaf())  # type: ignore[arg-type]
        return weights_digest(walk.learned())

    def scripted(self) -> str:
        """Return the digest of what the scripted learner learns."""
        return weights_digest(Scripted(ScriptedParams(), self._problem).learned())


def _ignore(message: BaseModel) -> None: ...
