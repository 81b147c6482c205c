"""What a trial, run here and in another process, must have come to. Each check yields what is wrong."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from headrace.errors import HeadraceError
from headrace.specs.algorithms import Algorithm
from headrace.specs.task import Task
from headrace_workers.engine.algorithms.base import Arrays
from headrace_workers.engine.package import Package, weights_digest
from headrace_workers.engine.predictor import Predictor
from headrace_workers.testing import forecasts, predictions, recorder
from headrace_workers.testing.memory import ALLOWED
from headrace_workers.testing.trials import Trial
from headrace_workers.testing.twin import Answer

Problems = Iterator[str]
MAX_NAMES = 5


@dataclass(frozen=True)
class Subject:
    """A trial and how it went in the other process; ``folder`` is for the run here.

    ``reseeded`` is how it went there under another seed, where that was tried.
    """

    algorithm: Algorithm
    trial: Trial
    task: Task
    folder: Path
    every_cut: bool
    answer: Answer
    reseeded: Answer | None


def problems(subject: Subject) -> Problems:
    """Run the trial here, and yield whatever is not as it must be."""
    answer, floor = subject.answer, subject.trial.floor
    if answer.error is not None:
        refused = answer.error.startswith(("BadData", "BadSpec"))
        if floor is not None or not refused:
            yield f"the job failed with {answer.error}"
        return
    if floor is not None:
        missed = floor.misses(answer.metrics[floor.metric])
        if missed:
            yield missed
    noted: list[str] = []
    try:
        predictor = recorder.train(
            subject.folder, subject.task, lambda fit: noted.extend(_of_the_fit(fit, subject.every_cut))
        )
    except HeadraceError as error:
        yield f"succeeded in another process, failed here with {error.detail}"
        return
    yield from noted
    yield from _digests(subject, predictor)
    yield from _files(subject, predictor)
    assert answer.package is not None
    what = forecasts if subject.trial.task == "forecast" else predictions
    yield from what.problems(subject.trial, predictor, Package.load(answer.package), answer.output)
    yield from memory_problems(answer)


def _of_the_fit(fit: recorder.Fit, every_cut: bool) -> Problems:
    if not all(0 <= fraction <= 1 for fraction in fit.fractions):
        yield "tells a progress that is not between 0 and 1"
    cuts = fit.cuts if every_cut or not fit.cuts else [fit.cuts[len(fit.cuts) // 2]]
    whole = fit.learner.learned()
    for cut in cuts:
        try:
            resumed = recorder.resume(fit, cut)
        except Exception as error:
            # Whatever a learner raises here, its author wants to know where.
            yield f"cannot be resumed at {cut.position}: {type(error).__name__}: {error}"
            continue
        differing = _differing(whole, resumed.learned())
        if differing:
            yield f"resumed at {cut.position}, it learned something else: {differing}"


def _digests(subject: Subject, predictor: Predictor) -> Problems:
    digest, other = weights_digest(predictor.learned()), subject.reseeded
    if digest != subject.answer.digest:
        yield "learned something else in another process, with its rows in a file, from the same seed"
    if other is None or digest != subject.answer.digest:
        return
    if other.error is not None:
        yield f"another seed: the job failed with {other.error}"
    elif subject.algorithm.random and other.digest == digest:
        yield "learned the same from another seed: its description should say random=False"
    elif not subject.algorithm.random and other.digest != digest:
        yield "learned something else from another seed: its description should not say random=False"


def _files(subject: Subject, predictor: Predictor) -> Problems:
    assert subject.answer.package is not None
    with (
        tempfile.TemporaryDirectory(dir=subject.folder) as folder,
        zipfile.ZipFile(subject.answer.package) as package,
    ):
        predictor.learner.save(Path(folder))
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        if not files:
            yield "saves no file"
        for file in files:
            written = file.read_bytes()
            if file.name not in package.namelist():
                yield f"saves {file.name}, which another process that learned the same did not"
            elif package.read(file.name) != written:
                yield f"saves {file.name} with other bytes than another process that learned the same"
            if _is_pickle(written) or file.suffix in (".pkl", ".pickle", ".joblib"):
                yield f"saves {file.name} as a pickle, which runs code when it is read"


def _is_pickle(content: bytes) -> bool:
    # The opcode that begins a pickle, and the versions of the protocol; the last opcode is a full stop.
    return content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05" and content[-1:] == b"."


def memory_problems(answer: Answer) -> Problems:
    """Yield whether memory has grown with the rows."""
    if answer.growth is not None:
        grown, size = answer.growth
        if grown > ALLOWED * size:
            sizes = f"{grown / 1e6:.0f} MB while it read rows of {size / 1e6:.0f} MB"
            yield f"says that it streams, but memory grew by {sizes}"


def _differing(then: Arrays, now: Arrays) -> str:
    """Return which arrays are not the same to the bit, in words; empty when all are."""
    names = [name for name in {**then, **now} if not _same(then.get(name), now.get(name))]
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _same(then: NDArray[Any] | None, now: NDArray[Any] | None) -> bool:
    if then is None or now is None or (then.dtype, then.shape) != (now.dtype, now.shape):
        return False
    return then.tobytes() == now.tobytes()
