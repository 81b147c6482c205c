"""The profile of a dataset: what each column holds, gathered in one pass in bounded memory.

Exact: counts, missing, lengths, min, max, mean, std, histogram counts, and distinct values up to a budget
shared between the columns (beyond it ``distinct`` is null, ``distinct_at_least`` says how far counting got).
Quantiles are those of a uniform sample of rows without replacement, the rows with the smallest of random
keys from a fixed seed; with no more rows than the sample holds they are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.specs.base import Column, ColumnType
from headrace_workers.engine.data import reasons
from headrace_workers.engine.data.column_profiles import (
    QUANTILES,
    NumberProfile,
    StringProfile,
    profile_of,
)
from headrace_workers.engine.data.row_sample import RowSample

MAX_CATEGORIES: Final = 100
"""A string column with more distinct values, or more than half as many as rows, is text."""
TOTAL_DISTINCT: Final = 2_000_000
TOTAL_SAMPLED: Final = 2_000_000
MAX_DISTINCT: Final = 20_000
MAX_SAMPLED_ROWS: Final = 10_000
MOSTLY_MISSING: Final = 0.5
MIN_ROWS_OF_IDENTIFIER: Final = 20


class Profile:
    """The profile of a stream of batches of one schema."""

    def __init__(self, schema: pa.Schema) -> None:
        columns = len(schema)
        self.rows = 0
        self._schema = schema
        self._budget = max(MAX_CATEGORIES, min(MAX_DISTINCT, TOTAL_DISTINCT // columns))
        self._profiles = [profile_of(field.type, self._budget) for field in schema]
        self._missing = [0] * columns
        self._open: set[int] = set()
        self._numeric = [i for i, p in enumerate(self._profiles) if isinstance(p, NumberProfile)]
        self._sample = RowSample(min(MAX_SAMPLED_ROWS, TOTAL_SAMPLED // columns))

    def update(self, batch: pa.RecordBatch) -> None:
        """Take the next rows."""
        self.rows += len(batch)
        for index, (profile, values) in enumerate(zip(self._profiles, batch.columns, strict=True)):
            self._missing[index] += values.null_count
            if values.null_count:
                values = values.drop_null()
            if len(values):
                profile.update(values)
        if self._numeric:
            self._sample.update(batch.select(self._numeric))

    def columns(self, types: Mapping[str, ColumnType | None]) -> list[Column]:
        """Return the columns with their final types; of a string column, None in ``types`` leaves it open."""
        self._open = {index for index, field in enumerate(self._schema) if types[field.name] is None}
        return [
            Column(
                name=field.name,
                type=types[field.name] or self._kind_of_strings(index),
                nullable=self._missing[index] > 0,
            )
            for index, field in enumerate(self._schema)
        ]

    def as_json(self, columns: list[Column], why: Mapping[str, str | None] | None = None) -> dict[str, Any]:
        """Return ``{"rows": n, "columns": {name: {…}}}``; ``columns`` as `columns` returned them.

        ``why``: why each has its type, as far as the file tells.
        """
        quantiles = self._quantiles()
        found: dict[str, Any] = {}
        for index, column in enumerate(columns):
            count, missing = self.rows - self._missing[index], self._missing[index]
            reason = self._why(index, column.type, (why or {}).get(column.name))
            entry: dict[str, Any] = {"type": column.type, "why": reason, "count": count, "missing": missing}
            entry |= self._profiles[index].as_json()
            if index in quantiles:
                entry["quantiles"] = quantiles[index]
            found[column.name] = entry | {"warnings": _warnings(entry)}
        return {"rows": self.rows, "columns": found}

    def _kind_of_strings(self, index: int) -> ColumnType:
        profile = self._profiles[index]
        assert isinstance(profile, StringProfile)
        few = profile.distinct <= MAX_CATEGORIES and 2 * profile.distinct <= self.rows
        return "category" if few else "text"

    def _why(self, index: int, type: ColumnType, known: str | None) -> str | None:
        profile = self._profiles[index]
        if index not in self._open or not isinstance(profile, StringProfile) or not profile.distinct:
            return known
        distinct = profile.distinct
        counted = reasons.of_strings(type, distinct, distinct <= self._budget, self.rows, MAX_CATEGORIES)
        return f"{counted}; {known}" if known else counted

    def _quantiles(self) -> dict[int, dict[str, Any]]:
        rows = self._sample.rows()
        sampled = rows.columns if rows is not None else []
        found = {}
        for index, values in zip(self._numeric, sampled, strict=True):
            profile = self._profiles[index]
            assert isinstance(profile, NumberProfile)
            present = values.drop_null()
            if len(present):
                present = present.cast(pa.int64()) if pa.types.is_timestamp(present.type) else present
                marks = pc.quantile(present, q=list(QUANTILES)).to_pylist()
                found[index] = {str(q): profile.show(mark) for q, mark in zip(QUANTILES, marks, strict=True)}
        return found


def _warnings(entry: dict[str, Any]) -> list[str]:
    """Return what a person should know before training on the column."""
    count, missing, distinct = entry["count"], entry["missing"], entry["distinct"]
    if count == 0:
        return ["all values are missing"]
    found = []
    if missing > MOSTLY_MISSING * (count + missing):
        found.append(f"{missing / (count + missing):.0%} of the values are missing")
    if distinct == 1:
        found.append("constant: all values are the same")
    # Texts of several words all differ, and are none.
    single = entry["type"] == "text" and all(len(top["value"].split()) < 2 for top in entry["top"])
    if (single or entry["type"] == "integer") and distinct == count >= MIN_ROWS_OF_IDENTIFIER:
        found.append("looks like an identifier: no value occurs twice")
    return found
