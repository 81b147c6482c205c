"""Writing predictions as Parquet, CSV or newline-delimited JSON, a batch of rows at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from headrace.specs.jobs import OutputFormat

FORMULA = r"^([=+\-@\t\r])"
"""A spreadsheet runs a cell that begins so."""

Write = Callable[[pa.RecordBatch], None]


@contextmanager
def open_output(path: Path, format: OutputFormat, schema: pa.Schema) -> Iterator[Write]:
    """Open the file at ``path``; what is yielded writes a batch of ``schema`` to it."""
    with {"parquet": _parquet, "csv": _csv, "ndjson": _ndjson}[format](path, schema) as write:
        yield write


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer.write_batch


@contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[Write]:
    names = _defused(pa.array(schema.names, pa.string())).to_pylist()
    safe = pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])
    with pcsv.CSVWriter(path, safe) as writer:
        yield lambda batch: writer.write_batch(
            pa.RecordBatch.from_arrays([_defused(column) for column in batch.columns], schema=safe)
        )


@contextmanager
def _ndjson(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as file:

        def write(batch: pa.RecordBatch) -> None:
            columns = [_json_values(column) for column in batch.columns]
            for row in zip(*columns, strict=True):
                line = dict(zip(schema.names, row, strict=True))
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")

        yield write


def _defused(column: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type):
        return column
    return pc.replace_substring_regex(column, pattern=FORMULA, replacement=r"'\1")


def _json_values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    elif pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
    values: list[Any] = column.to_pylist()
    return values
