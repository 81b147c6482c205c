"""Where a fit stands as a file, written on its way and read by the attempt that goes on.

A checkpoint resumes to the same bits only under the circumstances that it was made under: the spec, the data,
the code, and, where training is to be deterministic, everything of the environment that may change bits. The
file says what they were; under others it is not used. It is a NumPy ``.npz`` without pickles, which holds a
checksum of each member.
"""

from __future__ import annotations

import json
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace.specs.task import CHECKPOINTS_FOLDER, Checkpoint
from headrace_workers.engine.algorithms.base import Learner, State
from headrace_workers.engine.context import Context

HEADER = "header"
MAX_SHARE = 1 / 30
"""The fraction of a fit's time that may go into checkpoints: where one takes long, they come less often."""

KEPT_FILES = 2

Curve = list[tuple[str, int, float]]
"""Points of learning curves: name, step, value."""


class Unusable(Exception):
    """This file is no checkpoint to resume from; the text says why."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds. ``position`` is for people."""

    state: State
    curve: Curve
    position: str


def write(path: Path, saved: Saved, circumstances: Mapping[str, Any]) -> None:
    """Write ``saved``, reached under ``circumstances`` (plain JSON), to the new file at ``path``."""
    header = {
        "circumstances": circumstances,
        "arrays": list(saved.state.arrays),
        "values": saved.state.values,
        "curve": saved.curve,
        "position": saved.position,
    }
    members = {str(i): array for i, array in enumerate(saved.state.arrays.values())}
    members[HEADER] = np.frombuffer(json.dumps(header, allow_nan=False).encode(), np.uint8)
    with path.open("xb") as file:
        np.savez(file, allow_pickle=False, **members)


def read(path: Path, circumstances: Mapping[str, Any]) -> Saved:
    """Return what `write` wrote to ``path`` under the same ``circumstances``. Raises `Unusable`."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        if bad is not None:
            raise Unusable(f"its part {bad} is altered")
        with np.load(path, allow_pickle=False) as members:
            header = json.loads(members[HEADER].tobytes())
            arrays = {name: members[str(i)] for i, name in enumerate(header["arrays"])}
        saved = Saved(
            State(arrays, header["values"]),
            [(name, step, value) for name, step, value in header["curve"]],
            header["position"],
        )
        made_under = header["circumstances"]
    except Unusable:
        raise
    except Exception as error:
        # A damaged file may break its readers in any way; all mean the same.
        raise Unusable(f"it is cut short or altered ({type(error).__name__}: {str(error)[:200]})") from None
    # Compared as JSON: tuples have become lists.
    now = json.loads(json.dumps(circumstances))
    other = sorted(name for name in {*made_under, *now} if made_under.get(name) != now.get(name))
    if other:
        raise Unusable(f"it was made with another {' and another '.join(other)}")
    return saved


def resume(
    files: Sequence[Path], circumstances: Mapping[str, Any], make: Callable[[], Learner]
) -> tuple[Learner, Curve]:
    """Return the learner that goes on from the first of ``files`` that is usable, else a new one.

    ``make`` returns a new learner. With it comes the curve as far as it had got.
    """
    for file in files:
        try:
            saved = read(file, circumstances)
            learner = make()
            learner.load_state(saved.state)
        except (Unusable, KeyError, NotImplementedError, TypeError, ValueError) as error:
            print(f"{file.name} is not used: {error}", file=sys.stderr, flush=True)
        else:
            print(f"resuming at {saved.position}", file=sys.stderr, flush=True)
            return learner, saved.curve
    return make(), []


class Checkpoints:
    """Writes checkpoints of one fit, ``interval_s`` seconds apart or more, and reports them."""

    def __init__(self, context: Context, circumstances: Mapping[str, Any], interval_s: float) -> None:
        self._context = context
        self._circumstances = circumstances
        self._interval_s = interval_s
        self._due = time.monotonic() + interval_s
        self._count = 0
        self._folder = context.scratch / CHECKPOINTS_FOLDER
        self._folder.mkdir(exist_ok=True)

    def offer(self, learner: Learner, curve: Curve, position: str) -> None:
        """Write a checkpoint if it is time for one and the fit can be cut."""
        started = time.monotonic()
        if started < self._due:
            return
        state = learner.state()
        if state is not None:
            self._count += 1
            draft, file = self._folder / "draft", self._file(self._count)
            draft.unlink(missing_ok=True)
            write(draft, Saved(state, curve, position), self._circumstances)
            draft.rename(file)
            self._file(self._count - KEPT_FILES).unlink(missing_ok=True)
            self._context.send(Checkpoint(file=file.name, position=position))
        now = time.monotonic()
        self._due = now + max(self._interval_s, (now - started) / MAX_SHARE)

    def _file(self, number: int) -> Path:
        return self._folder / f"checkpoint-{number}"
