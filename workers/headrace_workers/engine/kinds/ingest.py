"""Kind ``ingest``: an uploaded file becomes typed Parquet, a profile, and its first rows as JSON.

Input ``source``. Outputs ``data`` (``data.parquet``), ``profile`` and ``rows``; the result lists the columns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Final

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace.specs.jobs import IngestSpec
from headrace.specs.task import Done, Task
from headrace_workers.engine.context import Context
from headrace_workers.engine.data.csv_files import CsvFile
from headrace_workers.engine.data.media_zip import MediaZip
from headrace_workers.engine.data.ndjson_files import NdjsonFile
from headrace_workers.engine.data.parquet_files import ParquetFile
from headrace_workers.engine.data.parquet_upload import ParquetUpload
from headrace_workers.engine.data.profile import Profile
from headrace_workers.engine.data.sample_rows import SampleRows
from headrace_workers.engine.data.source import ReadAgain, Source, gathered

SOURCES: Final[dict[str, Callable[[Path, Mapping[str, ColumnType]], Source]]] = {
    "text/csv": CsvFile,
    "application/x-ndjson": NdjsonFile,
    "application/vnd.apache.parquet": ParquetUpload,
    "application/zip": MediaZip,
}
DATA, PROFILE, ROWS = "data.parquet", "profile.json", "rows.json"


def run(task: Task, context: Context) -> Done:
    """Ingest the file. Raises `BadData` with the place and the reason when it cannot be read."""
    spec = IngestSpec.model_validate(task.spec)
    path = context.input("source")
    media_type = spec.media_type.partition(";")[0].strip().lower()
    make = SOURCES.get(media_type)
    if make is None:
        raise BadData(f"files of type {spec.media_type!r} are not read; send {' or '.join(SOURCES)}")
    source = make(path, spec.types)
    reading = 0
    while True:
        try:
            profile, sample = _write(source, context, reading)
            break
        except ReadAgain:
            reading += 1
    columns = profile.columns(source.types)
    told = profile.as_json(columns, source.reasons)
    _write_json(context.out / PROFILE, told)
    _write_json(context.out / ROWS, sample.as_json())
    context.progress(1.0, f"{profile.rows} rows")
    return Done(
        result={
            "rows": profile.rows,
            "columns": [c.model_dump() for c in columns],
            "distinct_times": _distinct_times(told),
        },
        outputs={"data": DATA, "profile": PROFILE, "rows": ROWS},
    )


def _write(source: Source, context: Context, reading: int) -> tuple[Profile, SampleRows]:
    """Write all rows of ``source``; return what was learned of them on the way.

    Raises `ReadAgain` when that must be done once more.
    """
    doing = "reading again" if reading else "reading"
    # A first reading goes up to 0.9, a second one, should it be needed, up to 0.99.
    start, share = 1 - 0.1**reading, 0.9 * 0.1**reading
    batches = gathered(source.batches())
    first = next(batches)
    profile, sample = Profile(first.schema), SampleRows()
    # Learning from a batch takes as long as reading one: it is done beside the reading of the next.
    with ParquetFile(context.out / DATA, first.schema) as file, ThreadPoolExecutor(1) as beside:
        learning: Future[None] | None = None
        rows = 0
        for batch in chain([first], batches):
            file.write(batch)
            sample.update(batch)
            if learning is not None:
                learning.result()
            learning = beside.submit(profile.update, batch)
            rows += len(batch)
            context.progress(start + share * source.fraction, f"{doing}: {rows} rows")
        if learning is not None:
            learning.result()
    return profile, sample


def _distinct_times(profile: dict[str, Any]) -> dict[str, int]:
    """Return how many distinct values each timestamp column has, where that is known."""
    return {
        name: entry["distinct"]
        for name, entry in profile["columns"].items()
        if entry["type"] == "timestamp" and entry["distinct"] is not None
    }


def _write_json(path: Path, value: Any) -> None:
    # Refuses what is not finite: readers of JSON do.
    path.write_text(json.dumps(value, allow_nan=False, separators=(",", ":")))
