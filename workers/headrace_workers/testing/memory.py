"""How much a process grows while it fits rows that are far more than a buffer, read from a file."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from headrace.specs.task import Task
from headrace_workers.engine.algorithms.base import Learner
from headrace_workers.engine.training.rows import BLOCK_BYTES, Rows
from headrace_workers.testing import recorder

BLOCKS = 12
"""So many of the buffers that rows are read by are in the file."""

ALLOWED = 0.5
"""By this part of the file's size may memory grow: a few buffers, never all of the rows."""

FIT_S = 2.0
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(folder: Path, task: Task) -> tuple[int, int] | None:
    """Return by how many bytes memory grew, and how many bytes of rows there were; None but on Linux.

    The rows are those of the trial, over and over. The fit is stopped after a few seconds: a learner that
    keeps or copies rows would show it from the start.
    """
    found: list[tuple[int, int]] = []
    if CLEAR_REFS.exists():
        recorder.train(folder, task, lambda fit: found.append(_grown(folder, fit)))
    return found[0] if found else None


class _Enough(Exception):
    pass


class _Stopper:
    def __init__(self) -> None:
        self._end = time.monotonic() + FIT_S

    def progress(self, fraction: float, message: str = "") -> None:
        if time.monotonic() > self._end:
            raise _Enough

    def metric(self, name: str, step: int, value: float) -> None:
        pass

    def cut(self, learner: Learner, position: str) -> None:
        self.progress(0.0)


def _grown(folder: Path, fit: recorder.Fit) -> tuple[int, int]:
    size = BLOCKS * BLOCK_BYTES
    rows = _many(folder / "many.rows", fit, size)
    learner = fit.learner_class(fit.params, fit.problem)
    # Sets the peak back to what is taken now.
    CLEAR_REFS.write_text("5")
    before = _status("VmRSS")
    try:
        learner.fit(rows, None, _Stopper())
    except _Enough:
        pass
    finally:
        rows.close()
        (folder / "many.rows").unlink()
    return _status("VmHWM") - before, size


def _many(file: Path, fit: recorder.Fit, size: int) -> Rows:
    inputs, targets = fit.training.all()
    repeats = max(BLOCK_BYTES // 4 // (fit.training.row_bytes * len(targets)), 1)
    inputs = {name: np.concatenate([values] * repeats) for name, values in inputs.items()}
    targets = np.concatenate([targets] * repeats)
    count = size // (fit.training.row_bytes * len(targets)) + 1
    rows = Rows.allocate(
        count * len(targets), fit.problem.inputs, targets.dtype.str, file, 0, targets.shape[1:]
    )
    for _ in range(count):
        rows.append(inputs, targets)
    return rows


def _status(name: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
