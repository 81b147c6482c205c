"""Learners for tests of what surrounds them: one does what its params say, one can be cut and resumed at any
step. Found as any plug-in is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from headrace.errors import BadSpec
from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Arrays, Learner, Monitor, Problem, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows


class ScriptedParams(Params):
    """Sleep, then do ``then``; ``child``: leave a process behind; ``stubborn``: ignore signals; ``native``:
    sleep on, after that, in C, which no signal interrupts and which lets no Python run.

    ``points``: so many of a learning curve, told while it sleeps. ``share``: the probability of the first
    class, for every row; by default all have the same.
    """

    seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    then: Literal["succeed", "kill", "exit", "raise", "refuse", "garbage"] = "succeed"
    child: bool = False
    stubborn: bool = False
    native: bool = False
    points: Annotated[int, Field(ge=0, le=1000)] = 0
    share: Annotated[float, Field(gt=0, lt=1)] | None = None


def _sleep_in_c() -> None:
    import ctypes

    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    ctypes.PyDLL(None).sleep(3600)


class Scripted(Learner):
    """Sleeps, then does as it was told."""

    params_class = ScriptedParams

    def __init__(self, params: ScriptedParams, problem: Problem) -> None:
        super().__init__(params, problem)
        self._params = params

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        print("scripted learner begins", flush=True)
        if self._params.stubborn:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
        if self._params.child:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
        began = time.monotonic()
        told = 0
        while (spent := time.monotonic() - began) < self._params.seconds:
            monitor.progress(spent / self._params.seconds, "sleeping")
            if told < self._params.points * spent / self._params.seconds:
                told += 1
                monitor.metric("accuracy", told, 1 - 0.8**told)
                monitor.metric("val_accuracy", told, 0.95 - 0.8**told)
            time.sleep(0.02)
        if self._params.native:
            _sleep_in_c()
        monitor.metric("loss", 1, 0.5)
        match self._params.then:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(0)
            case "raise":
                raise RuntimeError("a bug in the learner")
            case "refuse":
                raise BadSpec("this learner refuses")
            case "garbage":
                for fd in range(3, 64):
                    try:
                        os.write(fd, b"\x00\xff not a message\n")
                    except OSError:
                        continue

    def predict(self, inputs: Arrays) -> NDArray[np.float32]:
        import numpy as np

        rows, classes = len(next(iter(inputs.values()))), self.problem.outputs
        share = self._params.share or 1 / classes
        values = np.full((rows, classes), (1 - share) / max(classes - 1, 1), np.float32)
        values[:, 0] = share
        return values

    def learned(self) -> Arrays:
        import numpy as np

        return {"outputs": np.array(self.problem.outputs)}

    def save(self, folder: Path) -> None:
        (folder / "scripted").touch()

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Scripted:
        assert isinstance(params, ScriptedParams)
        return cls(params, problem)


ALGORITHM = Algorithm(
    name="scripted",
    title="Scripted",
    summary="Does what its params say.",
    source="tests",
    tasks=("classification",),
    features=("number", "integer"),
    params=ScriptedParams,
    code="headrace_test_learners:Scripted",
    runtime="plain",
)


class WalkParams(Params):
    """How long the walk is, in steps, and how long a step takes, in seconds."""

    steps: Annotated[int, Field(ge=1, le=100_000)] = 50
    step_s: Annotated[float, Field(ge=0, le=60)] = 0.0


class Walk(Learner):
    """A random walk that every row pushes: each step depends on all before it, to the bit.

    Its state is as awkward as a network's: arrays, a generator's state, a position, and the best so far.
    """

    params_class = WalkParams

    def __init__(self, params: WalkParams, problem: Problem) -> None:
        import numpy as np

        super().__init__(params, problem)
        self._params = params
        self._step = 0
        self._best: float | None = None
        self._place = self._best_place = np.zeros(8)
        self._rng = np.random.default_rng(problem.seed)

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        import numpy as np

        inputs, _ = training.all()
        push = np.resize(inputs["table"].astype(np.float64), 8)
        while self._step < self._params.steps:
            time.sleep(self._params.step_s)
            self._place = np.sin(self._place * 3.7 + push) + self._rng.normal(size=8)
            self._step += 1
            loss = float(np.abs(self._place).sum())
            if self._best is None or loss < self._best:
                self._best, self._best_place = loss, self._place
            monitor.progress(self._step / self._params.steps, f"step {self._step}")
            monitor.metric("loss", self._step, loss)
            monitor.cut(self, f"step {self._step}")

    def predict(self, inputs: Arrays) -> NDArray[np.float32]:
        import numpy as np

        others = max(self.problem.outputs - 1, 1)
        share = 0.5 + 0.4 * np.sin(inputs["table"].sum(axis=1) + self._best_place.sum())
        values = np.repeat((1 - share)[:, None] / others, self.problem.outputs, axis=1)
        values[:, 0] = share
        return values.astype(np.float32)

    def learned(self) -> Arrays:
        return {"place": self._place, "best": self._best_place}

    def state(self) -> State:
        values = {"step": self._step, "best": self._best, "rng": self._rng.bit_generator.state}
        return State(self.learned(), values)

    def load_state(self, state: State) -> None:
        self._place, self._best_place = state.arrays["place"], state.arrays["best"]
        self._step, self._best = state.values["step"], state.values["best"]
        self._rng.bit_generator.state = state.values["rng"]

    def save(self, folder: Path) -> None:
        import numpy as np

        np.save(folder / "walk.npy", np.stack([self._place, self._best_place]))

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Walk:
        import numpy as np

        assert isinstance(params, WalkParams)
        walk = cls(params, problem)
        walk._place, walk._best_place = np.load(folder / "walk.npy")
        return walk


WALK = Algorithm(
    name="walk",
    title="Walk",
    summary="A random walk that can be cut at any step.",
    source="tests",
    tasks=("classification",),
    features=("number", "integer"),
    params=WalkParams,
    code="headrace_test_learners:Walk",
    runtime="plain",
)
