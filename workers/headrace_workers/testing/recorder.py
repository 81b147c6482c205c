"""A training whose every cut is kept, with what it takes to resume from one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from headrace.specs.algorithms import Params
from headrace.specs.task import Task
from headrace_workers.engine.algorithms.base import Learner, Monitor, Problem
from headrace_workers.engine.context import Context
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.training import checkpoint
from headrace_workers.engine.training.checkpoint import Saved
from headrace_workers.engine.training.pipeline import Training
from headrace_workers.engine.training.rows import Rows


class Cut(NamedTuple):
    """A point at which the fit could be cut: what it is called, and the file with the state there."""

    position: str
    file: Path


@dataclass
class Fit:
    """One call of `Learner.fit`: the learner, its class, what it was given, and the cuts that it offered.

    ``base`` is the learner that it started from, if it did.

    ``fractions`` is the progress that it told.
    """

    learner: Learner
    learner_class: type[Learner]
    params: Params
    problem: Problem
    training: Rows
    validation: Rows | None
    base: Learner | None
    cuts: list[Cut] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)


def train(folder: Path, task: Task, look: Callable[[Fit], None]) -> Predictor:
    """Train as a job would; ``look`` is called when the fit has ended, while its rows are still there.

    Raises what training raises.
    """

    def ignore(message: BaseModel) -> None:
        pass

    training = Training(task, Context(folder, task.inputs, ignore))
    learner_class = training.learner_class

    def fit(learner: Learner, rows: Rows, validation: Rows | None, monitor: Monitor) -> None:
        base = training.base.learner if training.base is not None else None
        found = Fit(learner, learner_class, training.params, learner.problem, rows, validation, base)
        learner_class.fit(learner, rows, validation, Recorder(folder, found))
        look(found)

    training.learner_class = type(learner_class.__name__, (learner_class,), {"fit": fit})
    return training.learn()


def resume(fit: Fit, cut: Cut) -> Learner:
    """Return another learner that went on from ``cut`` to the end."""
    learner = fit.learner_class(fit.params, fit.problem)
    if fit.base is not None:
        learner.start_from(fit.base)
    learner.load_state(checkpoint.read(cut.file, {}).state)
    learner.fit(fit.training, fit.validation, Recorder(cut.file.parent, fit=None))
    return learner


class Recorder:
    """Writes the state at each cut as a checkpoint, as a job does at some; without ``fit``, nothing."""

    def __init__(self, folder: Path, fit: Fit | None) -> None:
        self._folder = folder
        self._fit = fit

    def progress(self, fraction: float, message: str = "") -> None:
        """See `Monitor.progress`."""
        if self._fit is not None:
            self._fit.fractions.append(fraction)

    def metric(self, name: str, step: int, value: float) -> None:
        """See `Monitor.metric`."""

    def cut(self, learner: Learner, position: str) -> None:
        """See `Monitor.cut`."""
        state = learner.state() if self._fit is not None else None
        if self._fit is not None and state is not None:
            file = self._folder / f"cut-{len(self._fit.cuts)}"
            checkpoint.write(file, Saved(state, [], position), {})
            self._fit.cuts.append(Cut(position, file))
