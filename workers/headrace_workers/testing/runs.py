"""Trials as tasks of the engine, run as a job process would run them."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import BaseModel

from headrace.specs.algorithms import Algorithm, catalogue
from headrace.specs.base import Column
from headrace.specs.jobs import PredictSpec, TrainSpec
from headrace.specs.task import TASK_FILE, Done, Failed, Task
from headrace_workers.engine import main
from headrace_workers.engine.context import OUT_FOLDER
from headrace_workers.engine.kinds.train import PACKAGE_FILE
from headrace_workers.testing.trials import MEMBERS, Trial

DATA_FILE, BASE = "data.parquet", "base"


def train_task(folder: Path, algorithm: Algorithm, trial: Trial, *, seed: int = 0) -> Task:
    """Write the data of ``trial`` into the new folder and return the task of training on it.

    An algorithm that needs a base gets a version of the first that it can start from, one that combines
    versions two of others, trained here.
    """
    folder.mkdir(parents=True)
    columns = _write_data(folder, trial, trial.table.column_names)
    spec = TrainSpec.model_validate(
        {
            "model": "trial",
            "dataset": "trial@1",
            "algorithm": algorithm.name,
            "params": algorithm.check_params(dict(trial.params)),
            "target": trial.target,
            "task": trial.task,
            "features": list(trial.features),
            "split": dict(trial.split),
            "seed": seed,
            "threads": 1,
            "base": "base@1" if algorithm.needs_base else None,
        }
    )
    others = {}
    if algorithm.needs_base:
        others[BASE] = _version(folder / BASE, algorithm.bases[0], trial)
    for i, member in enumerate(MEMBERS if algorithm.combines else ()):
        others[f"member_{i}"] = _version(folder / f"member_{i}", member, trial)
    return Task(
        job="job_trial",
        kind="train",
        attempt=1,
        spec=spec.model_dump(mode="json"),
        inputs={"data": DATA_FILE, **{name: str(package) for name, package in others.items()}},
        columns=columns,
        code=algorithm.code,
    )


def predict_task(folder: Path, trial: Trial, package: Path) -> Task:
    """Write the inputs of ``trial`` into the new folder and return the task of predicting its rows."""
    folder.mkdir(parents=True)
    columns = _write_data(folder, trial, trial.given)
    spec = PredictSpec.model_validate({"model": "trial@1", "dataset": "trial@1", "max_bad": 1.0})
    return Task(
        job="job_trial",
        kind="predict",
        attempt=1,
        spec=spec.model_dump(mode="json"),
        inputs={"data": DATA_FILE, "package": str(package)},
        columns=columns,
    )


def run(folder: Path, task: Task) -> tuple[Done | Failed, str]:
    """Run ``task`` in ``folder``; return its last message, and what it said to the job's log."""
    (folder / TASK_FILE).write_text(task.model_dump_json())
    messages: list[BaseModel] = []
    log = io.StringIO()
    with contextlib.redirect_stderr(log):
        main.run(folder, messages.append)
    end = messages[-1]
    assert isinstance(end, Done | Failed), "main.run ends with one of these"
    return end, log.getvalue()


def _version(folder: Path, name: str, trial: Trial) -> Path:
    """Train a version of the algorithm ``name`` on the same rows, and return its package."""
    below = catalogue()[name]
    task = train_task(folder, below, replace(trial, params=below.trial))
    end, log = run(folder, task)
    if not isinstance(end, Done):
        raise AssertionError(f"{name}, to build on, failed: {end.message}\n{log}")
    return folder / OUT_FOLDER / PACKAGE_FILE


def _write_data(folder: Path, trial: Trial, names: list[str] | tuple[str, ...]) -> list[Column]:
    table = trial.table.select(list(names))
    pq.write_table(table, folder / DATA_FILE)
    return [Column(name=name, type=trial.types[name], nullable=table[name].null_count > 0) for name in names]
