"""The catalogue of algorithms: what the web process must know of one to check a spec, without importing it.

An algorithm is announced by an entry point in the group ``headrace.algorithms`` that names an
`Algorithm`. The module in which it stands is imported by every process, so at its top it imports nothing
heavier than this package: no TensorFlow, NumPy, PyArrow or scikit-learn. Only a job process resolves
``code``, the dotted path of the class that learns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.errors import FieldError, Invalid
from headrace.specs.base import Column, ColumnType, Spec, TaskType

GROUP = "headrace.algorithms"


class Params(Spec):
    """Base of an algorithm's params. Each field has a default, a range, and a one-line description.

    ``encoding`` names those that say how columns are encoded: a version that starts from another keeps that
    one's encoding, and so cannot have others.
    """

    encoding: ClassVar[tuple[str, ...]] = ()

    def misfits(self, task: TaskType) -> dict[str, str]:
        """Return what does not go with ``task``: by field, what is wrong and what would be right."""
        return {}

    def narrows(self) -> dict[str, Any]:
        """Return what these params make narrower in `Algorithm`: ``features``, ``single_feature``."""
        return {}

    def misfit_columns(self, features: Sequence[Column]) -> dict[str, str]:
        """Return what does not go with the columns ``features``, as `misfits` does."""
        return {}

    def named_columns(self) -> Mapping[str, str | Sequence[str] | None]:
        """Return the fields that name columns of the dataset, each with its column, its columns or None.

        Such a column has a part of its own: it must be there once, and is neither target nor feature.
        """
        return {}

    def split_by(self) -> str | None:
        """Return by what rows have to be divided, ``time:COLUMN``; None where it may be anything."""
        return None

    def folds_of_members(self) -> int | None:
        """Return in how many folds of the training rows the versions that are combined are trained anew, for
        what they say of rows that they have not seen; None where they are taken as they are."""
        return None

    def misfit_rows(self, rows: int, distinct_times: Mapping[str, int]) -> dict[str, str]:
        """Return what does not go with a dataset of so many rows, as `misfits` does.

        ``distinct_times``: how many distinct values timestamp columns have, where that is known.
        """
        return {}

    def list_inputs(self) -> list[str]:
        """Return the inputs without which a dataset asks for lists: `PredictSpec.k` rows for each user."""
        return []

    def misfit_dataset(self, columns: Sequence[Column], target: str | None) -> dict[str, str]:
        """Return what does not go with all ``columns`` of the dataset, as `misfits` does."""
        return {}


class Algorithm(BaseModel):
    """The description of one algorithm.

    ``features`` and ``targets`` are the column types that it takes; ``targets`` maps each task to them.
    Of one of the types in ``needs``, where there are any, there must be a feature.
    ``code`` is ``"module:Class"``, a `headrace_workers.engine.algorithms.base.Learner`.
    ``bases``: the algorithms of which a version can be started from; with ``needs_base`` one must be.
    ``combines``: whether it combines versions, those that its param ``models`` names.
    ``runtime`` says which fork server its jobs need.
    ``gradients``: whether a version is a Keras network, whose gradients tell what a prediction rests on.
    ``source`` is the paper or page that defines it.

    ``samples``: whether new rows can be drawn from what was learned.
    ``needs_features``: whether it learns nothing without features, from target and named columns alone.

    What the conformance suite, `headrace_workers.testing`, holds it to: ``random``, whether the seed changes
    what is learned; ``streams``, whether training rows need not fit in memory; ``trial``, the params, where
    not the defaults, under which a few hundred rows are enough to learn from.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, extra="forbid")

    name: str
    title: str
    summary: str
    source: str
    tasks: tuple[TaskType, ...]
    features: tuple[ColumnType, ...]
    params: type[Params]
    code: str
    runtime: Literal["tensorflow", "plain"] = "tensorflow"
    single_feature: bool = False
    gradients: bool = False
    needs_features: bool = True
    needs: tuple[ColumnType, ...] = ()
    samples: bool = False
    bases: tuple[str, ...] = ()
    needs_base: bool = False
    combines: bool = False
    random: bool = True
    streams: bool = False
    trial: dict[str, Any] = {}

    def check_params(self, params: dict[str, Any], *loc: str | int) -> dict[str, Any]:
        """Return ``params`` with every default filled in. Raises `Invalid`, each field under ``loc``."""
        try:
            return self.params.model_validate(params).model_dump(mode="json")
        except ValidationError as error:
            raise Invalid(field_errors(error, *loc)) from None

    def check_fit(self, params: dict[str, Any], task: TaskType, *loc: str | int) -> None:
        """Raise `Invalid` for those of the valid ``params`` that do not go with ``task``, under ``loc``."""
        _refuse(self.params.model_validate(params).misfits(task), *loc)

    def check_columns(self, params: dict[str, Any], features: Sequence[Column], *loc: str | int) -> None:
        """Raise `Invalid` for those of the valid ``params`` that do not go with the columns ``features``."""
        _refuse(self.params.model_validate(params).misfit_columns(features), *loc)

    def check_dataset(
        self, params: dict[str, Any], columns: Sequence[Column], target: str | None, *loc: str | int
    ) -> set[str]:
        """Return the columns that the valid ``params`` name.

        Raises `Invalid` for those params that do not go with all ``columns`` of the dataset, under ``loc``.
        """
        valid = self.params.model_validate(params)
        named = [
            (field, name)
            for field, names in valid.named_columns().items()
            for name in ([names] if isinstance(names, str) else names or [])
        ]
        known = [column.name for column in columns]
        wrong = {}
        for place, (field, name) in enumerate(named):
            twice = next((other for other, same in named[:place] + named[place + 1 :] if same == name), None)
            if name not in known:
                wrong[field] = no_column(name, known)
            elif name == target:
                wrong[field] = "is the target: should be another column"
            elif twice is not None:
                wrong[field] = f"is the same column as {twice}: should be another"
        _refuse(wrong or valid.misfit_dataset(columns, target), *loc)
        return {name for _, name in named}

    def check_rows(
        self, params: dict[str, Any], rows: int, distinct_times: Mapping[str, int], *loc: str | int
    ) -> None:
        """Raise `Invalid` for those of the valid ``params`` that do not go with so many ``rows``."""
        _refuse(self.params.model_validate(params).misfit_rows(rows, distinct_times), *loc)

    def narrowed(self, params: dict[str, Any]) -> Algorithm:
        """Return the description for the valid ``params``, which may take fewer columns."""
        return self.model_copy(update=self.params.model_validate(params).narrows())

    def schema_of_params(self) -> dict[str, Any]:
        """Return the JSON Schema of ``params``."""
        return self.params.model_json_schema()


def no_column(name: str, columns: Sequence[str]) -> str:
    """Return that there is no column ``name``, and which there are."""
    some = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
    return f"there is no column {name[:100]!r}; the columns are {some}"


def _refuse(misfits: dict[str, str], *loc: str | int) -> None:
    if misfits:
        raise Invalid([FieldError(loc=(*loc, name), msg=msg) for name, msg in misfits.items()])


def field_errors(error: ValidationError, *loc: str | int) -> list[FieldError]:
    """Return pydantic's errors as ours, each ``loc`` prefixed by ``loc``."""
    return [
        FieldError(
            loc=(*loc, *e["loc"]), msg=e["msg"].removeprefix("Value error, ").replace(" after validation", "")
        )
        for e in error.errors(include_url=False, include_context=False, include_input=False)
    ]


TARGETS: dict[TaskType, tuple[ColumnType, ...]] = {
    "classification": ("category", "boolean", "integer", "text"),
    "regression": ("number", "integer"),
    "clustering": ("category", "boolean", "integer"),
    "embedding": (),
    "forecast": ("number", "integer"),
    "anomaly": ("boolean", "integer", "category"),
    "recommendation": ("number", "integer"),
}
"""The types that a column must be of to be the target of a task."""

NEEDS_TARGET: frozenset[TaskType] = frozenset({"classification", "regression", "forecast"})
"""The tasks that cannot do without a target; others read it, where there is one, to evaluate by."""

LEARNS_TARGET: frozenset[TaskType] = NEEDS_TARGET | {"recommendation"}
"""The tasks that learn a target where there is one."""


@cache
def catalogue() -> dict[str, Algorithm]:
    """Return every installed algorithm by name, in the order of names."""
    found = (point.load() for point in entry_points(group=GROUP))
    return {a.name: a for a in sorted(found, key=lambda a: str(a.name))}


def algorithm(name: str, *loc: str | int) -> Algorithm:
    """Return the algorithm called ``name``. Raises `Invalid` at ``loc``."""
    known = catalogue()
    if name not in known:
        raise Invalid.field(*loc, msg=f"there is no algorithm {name[:100]!r}; there are {', '.join(known)}")
    return known[name]
