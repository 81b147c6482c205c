"""What members say of rows that they have not seen: what a stack learns from (Wolpert 1992).

Each member is trained anew without one fold of the training rows, for each of the folds. All that is kept of
such a training is what it then predicts of the fold: a Parquet file of row numbers (``row``, from 0, rising)
and predictions, null where there is none. The files of one member together have each training row once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headrace.errors import BadData
from headrace_workers.engine.committee import Committee
from headrace_workers.engine.data import split
from headrace_workers.engine.data.output import open_output
from headrace_workers.engine.data.preprocessing import TABLE
from headrace_workers.engine.data.reader import BATCH_ROWS
from headrace_workers.engine.data.selection import Selection
from headrace_workers.engine.data.target import ClassTarget, NumberTarget, Target
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.tasks.base import PREDICTION
from headrace_workers.engine.tasks.classification import class_columns
from headrace_workers.engine.training.encode import EncodedPart
from headrace_workers.engine.training.rows import Rows

if TYPE_CHECKING:
    from headrace_workers.engine.training.pipeline import Training

HELD_OUT = "held_out_"
"""Before the numbers of a member and a fold, both from 0: the name of the file among a task's inputs."""

ROW = "row"

Table = NDArray[np.float32]


def write(training: Training, predictor: Predictor, path: Path) -> None:
    """Write what ``predictor`` says of the rows that ``training`` has held out."""
    names = _names(predictor.target)
    schema = pa.schema([(ROW, pa.int64()), *predictor.schema(names)])
    columns = predictor.preprocessing
    held_out = Selection(training.reader, training.parts == split.TEST)
    with open_output(path, "parquet", schema) as write_batch:
        for numbers, batch in held_out.batches(columns.columns, columns.batch_rows):
            said = predictor.columns(predictor.outputs(batch), names)
            arrays = [pa.array(numbers), *(said[name] for name in names)]
            write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


class OutOfFold:
    """What the members of a committee say out of fold; ``files`` are those of each of them."""

    def __init__(self, committee: Committee, files: Sequence[Sequence[Path]]) -> None:
        self._committee = committee
        names = _names(committee.target)
        self._members = [[_File(path, names) for path in folds] for folds in files]

    @classmethod
    def of(cls, committee: Committee, inputs: Mapping[str, Path]) -> OutOfFold | None:
        """Return it from the ``inputs`` of a task, by name; None where these have none of its files."""
        found: dict[int, dict[int, Path]] = {}
        for name, path in inputs.items():
            if name.startswith(HELD_OUT):
                member, fold = map(int, name.removeprefix(HELD_OUT).split("_"))
                found.setdefault(member, {})[fold] = path
        if not found:
            return None
        return cls(committee, [[folds[k] for k in sorted(folds)] for _, folds in sorted(found.items())])

    def encode(self, training: Training, target: Target, file: Path) -> EncodedPart:
        """Return the training rows, each what the members say of it; ``file`` is as in `Rows.allocate`.

        Raises `BadData` where the files are of other rows.
        """
        wanted = training.parts == split.TRAINING
        goal = training.what.goal(target)
        count = int(np.count_nonzero(wanted))
        rows = Rows.allocate(count, self._committee.inputs, goal.dtype, file, target_shape=goal.shape)
        bad = 0
        for numbers, batch in Selection(training.reader, wanted).batches([target.column or ""], BATCH_ROWS):
            table = np.concatenate([self._said(folds, numbers) for folds in self._members], axis=1)
            known = np.isfinite(table).all(axis=1)
            bad += int(np.count_nonzero(~known))
            targets, keep = training.what.encode_target(target, batch)
            keep = keep & known
            rows.append({TABLE: table[keep]}, targets[keep])
        return EncodedPart(
            rows, bad, "a member that had not seen a row could not predict it" if bad else None
        )

    def _said(self, folds: Sequence[_File], numbers: NDArray[np.int64]) -> Table:
        """Return what one member says of the rows ``numbers``, NaN where it said nothing of a row."""
        parts = [file.until(int(numbers[-1])) for file in folds]
        found = np.concatenate([rows for rows, _ in parts])
        order = np.argsort(found)
        if not np.array_equal(found[order], numbers):
            raise BadData(
                "What the members say of held-out rows is not of the training rows of this dataset."
            )
        return self._committee.encoded(np.concatenate([values for _, values in parts])[order])


class _File:
    """One of the files, read as far as it is needed; the columns ``names``, zeros for those it lacks."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._names = names
        self._batches = self._read(path)
        self._rows: NDArray[np.int64] = np.empty(0, np.int64)
        self._values: NDArray[np.float64] = np.empty((0, len(names)))

    def until(self, last: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the next rows, up to the number ``last``, and their values."""
        while not len(self._rows) or self._rows[-1] <= last:
            more = next(self._batches, None)
            if more is None:
                break
            self._rows = np.concatenate([self._rows, more[0]])
            self._values = np.concatenate([self._values, more[1]])
        count = int(np.searchsorted(self._rows, last, side="right"))
        found = self._rows[:count], self._values[:count]
        self._rows, self._values = self._rows[count:], self._values[count:]
        return found

    def _read(self, path: Path) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        file = pq.ParquetFile(path)
        there = set(file.schema_arrow.names)
        for batch in file.iter_batches(BATCH_ROWS):
            values = np.zeros((batch.num_rows, len(self._names)))
            for k, name in enumerate(self._names):
                # A class of which the other folds have no row is unknown to a member, and not probable.
                if name in there:
                    values[:, k] = batch.column(name).to_numpy(zero_copy_only=False)
            yield batch.column(ROW).to_numpy(), values


def _names(target: ClassTarget | NumberTarget) -> list[str]:
    """Return the outputs that a stack learns from."""
    return class_columns(target) if isinstance(target, ClassTarget) else [PREDICTION]
