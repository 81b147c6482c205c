"""Real networks killed at random moments: they end in the bits of the undisturbed run, and can be made again.

``KILLS=20`` kills each that often (`make resume`); the gate does it once.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn import datasets

import learning
from headrace.specs.algorithms import algorithm
from headrace.specs.task import Checkpoint, Done, Metric, Task
from headrace_workers.job_pipes import Event, Exited, LogLines

from .conftest import Runner

KILLS = int(os.environ.get("KILLS", "1"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 30 * KILLS)]


class Trainer:
    """Attempts of one train or reproduce job, each in a process of its own; what is left is handed on."""

    def __init__(self, runner: Runner, data: learning.Data, name: str, target: str, **spec: Any) -> None:
        self._runner = runner
        self._data = data
        self.spec = learning.train_spec(data, name, target, **spec)
        self._code = algorithm(name).code
        self.left: list[Path] = []
        self.folder = Path()

    def attempt(self, kind: str = "train", kill_after: float | None = None, **inputs: Path) -> list[Event]:
        """Run one attempt, or kill it so many seconds after its first checkpoint; return what it said."""
        self.folder = self._runner.scratch.new("job")
        task = Task(
            job="job_1",
            kind=kind,
            attempt=1,
            spec=self.spec,
            inputs={name: str(path) for name, path in {"data": self._data.path, **inputs}.items()},
            columns=self._data.columns,
            code=self._code,
            checkpoints=[str(path) for path in self.left],
            checkpoint_s=0.01,
        )
        (self.folder / "task.json").write_text(task.model_dump_json())
        events: list[Event] = []
        deadline = float("inf")
        with self._runner.server.spawn(self.folder) as process:
            while not any(isinstance(event, Exited) for event in events):
                events += process.read(max(0.0, min(1.0, deadline - time.monotonic())))
                if kill_after is not None and any(isinstance(event, Checkpoint) for event in events):
                    deadline = min(deadline, time.monotonic() + kill_after)
                if time.monotonic() >= deadline:
                    process.kill()
        made = [event.file for event in events if isinstance(event, Checkpoint)]
        if made:
            self.left = [self.folder / "checkpoints" / file for file in reversed(made[-2:])]
        return events


def _result(events: list[Event]) -> dict[str, Any]:
    return next((event.result for event in events if isinstance(event, Done)), {})


def _log(events: list[Event]) -> str:
    return "\n".join(line for event in events if isinstance(event, LogLines) for line in event.lines)


def _curves(events: list[Event]) -> dict[tuple[str, int], float]:
    return {(event.name, event.step): event.value for event in events if isinstance(event, Metric)}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("scratch"), preload="heavy")
    assert runner.server.ready(90)
    yield runner
    runner.close()


@pytest.fixture
def trainer(runner: Runner, tmp_path: Path, request: pytest.FixtureRequest) -> Trainer:
    if request.param == "cnn":
        augmentation = {"rotation": 10.0, "shift": 0.1, "contrast": 0.2}
        params = {
            "epochs": 6,
            "filters": [8],
            "dense": [16],
            "dropout": 0.4,
            "batch_norm": True,
            "augmentation": augmentation,
        }
        return Trainer(runner, learning.digits(tmp_path), "cnn", "label", params=params)
    data = learning.table(tmp_path, datasets.load_breast_cancer(), "category", classes=True)
    params = {"epochs": 200, "dropout": 0.2, "early_stopping": 20, "plateau": 4}
    return Trainer(runner, data, "mlp", "target", params=params)


@pytest.mark.parametrize("trainer", ["cnn", "mlp"], indirect=True)
def test_a_network_killed_at_random_ends_in_the_same_bits(trainer: Trainer) -> None:
    started = time.monotonic()
    calm = _result(events := trainer.attempt())
    lasts = time.monotonic() - started
    curves, package = _curves(events), trainer.folder / "out" / "package.zip"
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    trainer.left = []
    kills = 0
    while True:
        resumes = bool(trainer.left)
        events = trainer.attempt(kill_after=moments.uniform(0, lasts / 2) if kills < KILLS else None)
        assert ("resuming at" in _log(events)) == resumes
        if result := _result(events):
            assert result["weights_digest"] == calm["weights_digest"]
            assert result["metrics"] == calm["metrics"]
            assert _curves(events) == curves
            trainer.left = []
            if kills == KILLS:
                break
        else:
            kills += 1

    trainer.left = []
    verdict = _result(events := trainer.attempt("reproduce", package=package))
    assert verdict.get("identical"), (verdict, events[-3:])
    assert (verdict["differences"], verdict["arrays"]) == ([], [])


@pytest.mark.parametrize("trainer", ["mlp"], indirect=True)
def test_other_threads_are_named_when_a_network_is_not_reproduced(trainer: Trainer) -> None:
    trainer.spec["params"] |= {"epochs": 2, "hidden": [256, 256]}
    trainer.attempt()
    package = trainer.folder / "out" / "package.zip"
    trainer.left = []
    trainer.spec["threads"] = 2
    trainer.spec["seed"] = 1
    verdict = _result(trainer.attempt("reproduce", package=package))
    assert not verdict["identical"]
    assert verdict["weights_digest"] != verdict["expected_weights_digest"]
    assert verdict["differences"] == ["seed: 0 then, 1 now", "environment.threads: 1 then, 2 now"]
    first = verdict["arrays"][0]
    assert first["name"] == "dense_1/kernel"
    assert 0 < first["differing"] <= first["values"] == 30 * 256
    assert 0 < first["largest"] < 1
