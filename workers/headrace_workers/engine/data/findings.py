"""What a person should know of the columns before a model is trained on them.

All is found on training rows: counts on all of them, the rest on a uniform sample. ``kind`` of a warning:

- ``copy``, ``leak``: the column holds the target, or tells (nearly) all of it;
- ``identifier``: no value occurs twice; ``constant``, ``empty``, ``missing``: there is little to learn from;
- ``rare_classes``, ``imbalance``: of the target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import BadSpec
from headrace.specs.base import ColumnType, TaskType
from headrace_workers.engine.data import leakage
from headrace_workers.engine.data.encoders import (
    CategoryEncoder,
    NumberEncoder,
    TimestampEncoder,
    to_floats,
)
from headrace_workers.engine.data.images import ImageEncoder
from headrace_workers.engine.data.preprocessing import AnyEncoder, Preprocessing
from headrace_workers.engine.data.row_sample import RowSample
from headrace_workers.engine.data.sequences import SequenceEncoder
from headrace_workers.engine.data.target import MAX_CLASSES

JSON = dict[str, Any]

MAX_SAMPLED_ROWS, MAX_SAMPLED_CELLS = 4000, 2_000_000
MAX_CHARS = 200
"""Longer texts are compared by their beginning."""

LOOKED_AT: tuple[ColumnType, ...] = ("number", "integer", "boolean", "category", "text", "timestamp")
"""Of images and sequences only whether they are there is looked at."""

TELLS_CLASS, TELLS_VARIANCE, EQUAL = 0.98, 0.995, 0.99
MOSTLY_MISSING = 0.5
MIN_ROWS_OF_IDENTIFIER = 20
MIN_ROWS_OF_CLASS = 10
LARGEST_SHARE = 0.8
MAX_SHOWN = 5
MAX_WARNINGS = 100


class Findings:
    """What was found of features and target, from their training rows; ``target`` None: of features alone."""

    def __init__(
        self, features: Sequence[str], target: str | None, task: TaskType, types: Mapping[str, ColumnType]
    ) -> None:
        self._target = target
        self._numeric = task != "classification"
        self._types = types
        self._sampled = [name for name in features if types[name] in LOOKED_AT]
        rows = MAX_SAMPLED_CELLS // (len(self._sampled) + 1)
        self._sample = RowSample(min(MAX_SAMPLED_ROWS, max(rows, leakage.MIN_ROWS)))
        self._missing: Counter[str] = Counter()
        self._classes: Counter[Any] = Counter()
        self._rows = 0

    @property
    def columns(self) -> list[str]:
        """The columns that `examine` needs. Images are not read: they would cost as much as the training."""
        return [*self._sampled, *([] if self._target is None else [self._target])]

    def examine(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Look at training rows with `columns`, none of them without target.

        Raises `BadSpec` where they all have the same target.
        """
        ends: set[float] = set()
        for batch in batches:
            self._rows += len(batch)
            for name in self._sampled:
                self._missing[name] += batch.column(name).null_count
            truth = None if self._target is None else batch.column(self._target)
            if truth is None:
                pass
            elif self._numeric:
                numbers = to_floats(truth)
                ends |= {float(np.nanmin(numbers)), float(np.nanmax(numbers))}
                ends = {min(ends), max(ends)}
            elif len(self._classes) <= MAX_CLASSES:
                for entry in pc.value_counts(truth).to_pylist():
                    self._classes[entry["values"]] += entry["counts"]
            self._sample.update(
                pa.record_batch([_short(batch.column(n)) for n in self.columns], self.columns)
            )
        same = ends if self._numeric else set(self._classes)
        if len(same) == 1:
            raise BadSpec(
                f"target: every training row has {next(iter(same))!r} in column {self._target!r}; "
                "there is nothing to tell apart. A classifier needs two classes at least, a regression two "
                "values."
            )

    def report(self, columns: Preprocessing) -> list[JSON]:
        """Return, for each feature, its type, what it is encoded as, and of training rows how many lack it.

        ``distinct`` counts values of ``distinct_of`` of these rows.
        """
        rows = self._sample.rows()
        entries: list[JSON] = []
        for encoder in columns.encoders:
            name = encoder.column
            entry: JSON = {"column": name, "type": encoder.type, "encoded_as": _encoded(encoder)}
            if name in self._missing and rows is not None:
                distinct = pc.count_distinct(rows.column(name), mode="only_valid").as_py()
                entry |= {"missing": self._missing[name], "distinct": distinct, "distinct_of": len(rows)}
            entries.append(entry)
        return entries

    def warnings(self) -> list[JSON]:
        """Return every warning, each with ``column``, ``kind`` and ``message``; those of the target first."""
        rows = self._sample.rows()
        found = [*self._of_target()]
        if rows is not None and len(rows):
            for name in self._sampled:
                found += self._of_feature(name, rows)
        if len(found) > MAX_WARNINGS:
            found[MAX_WARNINGS:] = [
                {"column": None, "kind": "more", "message": f"{len(found) - MAX_WARNINGS} more warnings."}
            ]
        return found

    def _of_target(self) -> Iterator[JSON]:
        if self._target is None or self._numeric or len(self._classes) > MAX_CLASSES:
            return
        ordered = sorted(self._classes.items(), key=lambda item: (-item[1], item[0]))
        rare = [(label, count) for label, count in ordered if count < MIN_ROWS_OF_CLASS]
        if rare:
            some = ", ".join(f"{_shown(label)} ({count})" for label, count in rare[-MAX_SHOWN:])
            yield self._warn(
                self._target,
                "rare_classes",
                f"{len(rare)} of {len(ordered)} classes have fewer than {MIN_ROWS_OF_CLASS} training rows: "
                f"{some}{', …' if len(rare) > MAX_SHOWN else ''}. Little can be learned or said of them.",
            )
        label, count = ordered[0]
        if count > LARGEST_SHARE * self._rows:
            yield self._warn(
                self._target,
                "imbalance",
                f"{count / self._rows:.1%} of the training rows are {_shown(label)}: always predicting that "
                "has so high an accuracy. Look at balanced_accuracy, f1_macro and pr_auc; class weights may "
                "help.",
            )

    def _of_feature(self, name: str, rows: pa.RecordBatch) -> Iterator[JSON]:
        values = rows.column(name)
        missing = self._missing[name]
        if missing == self._rows:
            yield self._warn(name, "empty", "All training rows lack it.")
            return
        if missing > MOSTLY_MISSING * self._rows:
            yield self._warn(name, "missing", f"{missing / self._rows:.0%} of the training rows lack it.")
        distinct = pc.count_distinct(values, mode="only_valid").as_py()
        if distinct == 1 and not values.null_count:
            yield self._warn(name, "constant", "It has one value: there is nothing to learn from it.")
            return
        if self._is_identifier(name, values, distinct):
            yield self._warn(
                name,
                "identifier",
                "No value occurs twice, as in an identifier: what is learned by heart from it does not hold "
                "for new rows. Leave it out: features.",
            )
        if self._target is not None:
            yield from self._giving_away(name, values, rows.column(self._target))

    def _is_identifier(self, name: str, values: pa.Array, distinct: int) -> bool:
        if not distinct == len(values) - values.null_count >= MIN_ROWS_OF_IDENTIFIER:
            return False
        if self._types[name] in ("category", "text"):
            # Long texts all differ, and are none.
            return not pc.any(pc.match_substring_regex(values, r"\s")).as_py()
        return self._types[name] == "integer"

    def _giving_away(self, name: str, values: pa.Array, truth: pa.Array) -> Iterator[JSON]:
        equal = leakage.share_equal(values, truth)
        if equal >= EQUAL:
            yield self._warn(
                name,
                "copy",
                f"It holds what the target holds in {equal:.1%} of the rows: a copy. Leave it out: features.",
            )
            return
        told = self._told(values, truth)
        if told:
            yield self._warn(
                name,
                "leak",
                f"This column alone tells {told}. If it is made from the target, or known only after it, the "
                "model will be worth nothing where it is used. Leave it out then: features.",
            )

    def _told(self, values: pa.Array, truth: pa.Array) -> str | None:
        column, ordered = leakage.as_numbers(values), not pa.types.is_string(values.type)
        if self._numeric:
            variance = leakage.share_of_variance(column, to_floats(truth), ordered=ordered)
            high = variance is not None and variance >= TELLS_VARIANCE
            return f"{variance:.1%} of the target's variance" if high else None
        classes = truth.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
        told = leakage.share_of_class(column, classes, ordered=ordered)
        return f"the target of {told[1]:.1%} of the rows" if told and told[0] >= TELLS_CLASS else None

    def _warn(self, column: str | None, kind: str, message: str) -> JSON:
        return {"column": column, "kind": kind, "message": message}


def _encoded(encoder: AnyEncoder) -> str:
    match encoder:
        case NumberEncoder():
            return "standardised" + (", and whether it is missing" if encoder.flag else "")
        case CategoryEncoder():
            form = "a column for each of" if encoder.one_hot else "the number of one of"
            return f"{form} {len(encoder.levels)} levels, missing and unseen ones apart"
        case TimestampEncoder():
            return "standardised days, and the times of day, week and year"
        case ImageEncoder():
            return (
                f"{encoder.height} by {encoder.width} pixels, {'grey' if encoder.channels == 1 else 'colour'}"
            )
        case SequenceEncoder():
            return f"the last {encoder.length} values, standardised"
    return encoder.kind


def _short(values: pa.Array) -> pa.Array:
    return pc.utf8_slice_codeunits(values, 0, MAX_CHARS) if pa.types.is_string(values.type) else values


def _shown(label: Any) -> str:
    text = repr(label)
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + "…"
