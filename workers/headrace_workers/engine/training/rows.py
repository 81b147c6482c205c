"""Encoded rows, read by index from memory or from a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Arrays, TensorSpec

MEMORY_LIMIT = 512 * 1024**2
"""Bytes of encoded rows that are kept in memory; more of them go into a file."""

BLOCK_BYTES = 32 * 1024**2
TARGET = "target"


class Rows:
    """Rows of fixed width, each the named inputs and the target, a value or an array.

    Written once, then read in any order.
    """

    def __init__(self, record: np.dtype[Any], capacity: int, file: Path | None) -> None:
        self.count = 0
        self._record = record
        self._file: BinaryIO | None = None
        self._memory: NDArray[Any] | None = None
        if file is None:
            self._memory = np.empty(capacity, record)
        else:
            self._file = file.open("w+b")

    @classmethod
    def allocate(
        cls,
        capacity: int,
        inputs: dict[str, TensorSpec],
        target: str,
        file: Path,
        memory_limit: int | None = None,
        target_shape: tuple[int, ...] = (),
    ) -> Rows:
        """Return room for ``capacity`` rows whose targets have dtype ``target`` and are of ``target_shape``.

        ``file`` is created only where the rows would take more than ``memory_limit`` bytes, by default
        `MEMORY_LIMIT`.
        """
        limit = MEMORY_LIMIT if memory_limit is None else memory_limit
        record = np.dtype(
            [(name, spec.dtype, spec.shape) for name, spec in inputs.items()]
            + [(TARGET, target, target_shape)]
        )
        return cls(record, capacity, file if capacity * record.itemsize > limit else None)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self._record.itemsize

    @property
    def in_memory(self) -> bool:
        """Whether the rows are in memory rather than in a file."""
        return self._memory is not None

    def close(self) -> None:
        """Give the memory or the file back."""
        if self._file is not None:
            self._file.close()
        self._memory = None

    def append(self, inputs: Arrays, targets: NDArray[Any]) -> None:
        """Add rows behind those that are there."""
        records = np.empty(len(targets), self._record)
        for name, values in inputs.items():
            records[name] = values
        records[TARGET] = targets
        if self._memory is not None:
            self._memory[self.count : self.count + len(records)] = records
        else:
            assert self._file is not None
            self._file.seek(0, os.SEEK_END)
            self._file.write(records.data)
            self._file.flush()
        self.count += len(records)

    def take(self, indices: NDArray[np.int64]) -> tuple[Arrays, NDArray[Any]]:
        """Return the inputs and targets of the rows at ``indices``, in that order."""
        if self._memory is not None:
            return self._fields(self._memory[: self.count][indices])
        assert self._file is not None
        records = np.empty(len(indices), self._record)
        view = memoryview(records.view(np.uint8).data)
        size = self.row_bytes
        for i, index in enumerate(indices.tolist()):
            os.preadv(self._file.fileno(), [view[i * size : (i + 1) * size]], index * size)
        return self._fields(records)

    def targets(self) -> NDArray[Any]:
        """Return the targets of all rows, in order; those in a file are read as they are used."""
        if self._memory is not None:
            return self._memory[: self.count][TARGET]
        assert self._file is not None
        if not self.count:
            return np.empty(0, self._record[TARGET])
        records = np.memmap(self._file, self._record, mode="r", shape=(self.count,))
        return records[TARGET]

    def all(self) -> tuple[Arrays, NDArray[Any]]:
        """Return all rows; the caller answers for the memory."""
        return self._between(0, self.count)

    def blocks(self) -> Iterator[tuple[Arrays, NDArray[Any]]]:
        """Yield all rows in order, in blocks of at most 32 MB."""
        size = max(BLOCK_BYTES // self.row_bytes, 1)
        for start in range(0, self.count, size):
            yield self._between(start, min(start + size, self.count))

    def _between(self, start: int, stop: int) -> tuple[Arrays, NDArray[Any]]:
        if self._memory is not None:
            return self._fields(self._memory[start:stop])
        assert self._file is not None
        self._file.seek(start * self.row_bytes)
        return self._fields(np.fromfile(self._file, self._record, stop - start))

    def _fields(self, records: NDArray[Any]) -> tuple[Arrays, NDArray[Any]]:
        names = [name for name in self._record.names or () if name != TARGET]
        return {name: np.ascontiguousarray(records[name]) for name in names}, np.ascontiguousarray(
            records[TARGET]
        )
