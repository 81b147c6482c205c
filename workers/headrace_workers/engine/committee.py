"""Versions that are asked together: what a version that combines others has in place of encoders.

Raw rows become what each member predicts of them, in the order of the members: the probabilities of all
classes, or the value as the target encodes it. All members have the same target. Their packages are members
of the package of the whole, as they are, so that it needs nothing else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import PrivateAttr

from headrace.errors import BadSpec
from headrace_workers.engine.algorithms.base import Arrays, TensorSpec
from headrace_workers.engine.data.preprocessing import TABLE, AnyEncoder, Encoded, Preprocessing
from headrace_workers.engine.data.target import ClassTarget, NumberTarget

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor


class Committee(Preprocessing):
    """``size`` members. To be used it must be `seated`, which `engine.package` does."""

    encoders: list[AnyEncoder] = []
    size: int
    _members: list[Predictor] = PrivateAttr(default_factory=list)
    _files: list[Path] = PrivateAttr(default_factory=list)

    @classmethod
    def of(cls, members: Sequence[Predictor], files: Sequence[Path]) -> Committee:
        """Return the committee of ``members``, whose packages are ``files``.

        Raises `BadSpec` when they have not the same classes.
        """
        first = members[0].target
        for i, member in enumerate(members):
            target = member.target
            if isinstance(target, ClassTarget) and target.classes != first.classes:
                raise BadSpec(
                    f"params.models.{i}: it knows the classes {_shown(target)}, the first of the list "
                    f"{_shown(first)}."
                )
        return cls(size=len(members)).seated(members, files)

    def seated(self, members: Sequence[Predictor], files: Sequence[Path]) -> Committee:
        """Return this committee with its ``members``, whose packages are ``files``."""
        self._members, self._files = list(members), list(files)
        return self

    @property
    def target(self) -> ClassTarget | NumberTarget:
        """What all members have learned; the classes are the same, mean and scale those of the first."""
        found: ClassTarget | NumberTarget = self._members[0].target
        return found

    @property
    def signature(self) -> list[dict[str, Any]]:
        """See `Preprocessing.signature`: the columns of all members, each once."""
        columns = {
            column["name"]: column for member in self._members for column in member.preprocessing.signature
        }
        return list(columns.values())

    @property
    def columns(self) -> list[str]:
        """The features' names."""
        return [column["name"] for column in self.signature]

    @property
    def inputs(self) -> dict[str, TensorSpec]:
        """See `Preprocessing.inputs`: one row of numbers, those of each member behind each other."""
        return {TABLE: TensorSpec((self.size * self.target.outputs,), "float32")}

    @property
    def batch_rows(self) -> int:
        """See `Preprocessing.batch_rows`."""
        return min(member.preprocessing.batch_rows for member in self._members)

    def check(self, schema: pa.Schema) -> None:
        """See `Preprocessing.check`."""
        for member in self._members:
            member.preprocessing.check(schema)

    def encode(self, batch: pa.RecordBatch | pa.Table) -> Encoded:
        """Return what the members predict; a row that one of them cannot predict has zeros."""
        parts, problems = [], dict[int, str]()
        for member in self._members:
            found = member.outputs(batch)
            problems = {**found.problems, **problems}
            parts.append(self.encoded(found.values))
        table = np.concatenate(parts, axis=1)
        table[list(problems)] = 0
        return Encoded({TABLE: table}, problems)

    def encoded(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return what a member says of rows, decoded, as a learner takes it, shape (n, outputs)."""
        target = self.target
        if isinstance(target, NumberTarget):
            values = (values - target.mean) / target.scale
        return values.reshape(len(values), -1).astype(np.float32)

    def learned(self) -> Arrays:
        """See `Preprocessing.learned`: everything that the members have learned."""
        return {
            f"member_{i}/{name}": array
            for i, member in enumerate(self._members)
            for name, array in {**member.preprocessing.learned(), **member.learner.learned()}.items()
        }

    def save(self, folder: Path) -> None:
        """Copy the members' packages into ``folder``."""
        for source, path in zip(self._files, self.files(folder), strict=True):
            shutil.copyfile(source, path)

    def files(self, folder: Path) -> Iterator[Path]:
        """Return where in ``folder`` the members' packages are."""
        return (folder / f"member_{i}.zip" for i in range(self.size))


def _shown(target: ClassTarget) -> str:
    return ", ".join(str(label)[:50] for label in target.classes[:10])
