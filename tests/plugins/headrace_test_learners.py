"""A learner that does what its params say, for tests of what surrounds it. Found as any plug-in is."""

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
from headrace_workers.engine.algorithms.base import Arrays, Learner, Monitor, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows


class ScriptedParams(Params):
    """Sleep, then do ``then``; ``child``: leave a process behind; ``stubborn``: ignore signals."""

    seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    then: Literal["succeed", "kill", "exit", "raise", "refuse", "garbage"] = "succeed"
    child: bool = False
    stubborn: bool = False


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
        while (spent := time.monotonic() - began) < self._params.seconds:
            monitor.progress(spent / self._params.seconds, "sleeping")
            time.sleep(0.02)
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

        rows = len(next(iter(inputs.values())))
        return np.full((rows, self.problem.outputs), 1 / self.problem.outputs, np.float32)

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
