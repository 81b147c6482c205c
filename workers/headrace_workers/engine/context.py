"""What a kind of job sees of the world around it: its folder, its inputs, and somebody who listens."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel

from headrace.specs.task import Metric, Progress

OUT_FOLDER = "out"
MAX_PROGRESS_MESSAGE = 500


class Context:
    """The scratch folder of one attempt, and the way to report from it.

    ``scratch`` is removed after the attempt: write what is temporary there. ``out`` exists and is empty at
    the start; an output is a file below it, named in `Done.outputs` relative to it. ``send`` takes
    any message.
    """

    def __init__(self, scratch: Path, inputs: Mapping[str, str], send: Callable[[BaseModel], None]) -> None:
        self.scratch = scratch
        self.out = scratch / OUT_FOLDER
        self.out.mkdir(exist_ok=True)
        self._inputs = dict(inputs)
        self.send = send
        self._fraction = 0.0

    def input(self, name: str) -> Path:
        """Return the path of the input called ``name``. Raises KeyError when the task has none."""
        return self.scratch / self._inputs[name]

    def progress(self, fraction: float, message: str = "") -> None:
        """Report that ``fraction`` (0 to 1) of the work is done; a lower one than before changes nothing."""
        if fraction > self._fraction:
            self._fraction = min(float(fraction), 1.0)
        self.send(Progress(fraction=self._fraction, message=message[:MAX_PROGRESS_MESSAGE]))

    def metric(self, name: str, step: int, value: float) -> None:
        """Report one point of a learning curve; ``step`` is the epoch, from 1.

        A value that is not finite has no place in JSON: it goes to the job's log instead, and the curve
        has a gap there.
        """
        if math.isfinite(value):
            self.send(Metric(name=name, step=int(step), value=float(value)))
        else:
            print(
                f"metric {name} at step {step} is {float(value)}: not recorded", file=sys.stderr, flush=True
            )
