"""A profile says in words why each column has the type that it has."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acceptance.hostile.files import archive, image
from headrace.specs.task import TASK_FILE, Done, Task
from headrace_workers.engine import main

CSV, NDJSON = "text/csv", "application/x-ndjson"
PARQUET, ZIP = "application/vnd.apache.parquet", "application/zip"


def _why(folder: Path, content: bytes, media_type: str, **types: str) -> dict[str, str | None]:
    (folder / "upload").write_bytes(content)
    spec = {"dataset": "d", "version": 1, "media_type": media_type, "types": types}
    task = Task(job="job_1", kind="ingest", attempt=1, spec=spec, inputs={"source": "upload"})
    (folder / TASK_FILE).write_text(task.model_dump_json())
    messages: list[object] = []
    main.run(folder, messages.append)
    assert isinstance(messages[-1], Done), messages[-1]
    profile = json.loads((folder / "out" / "profile.json").read_text())
    return {name: column["why"] for name, column in profile["columns"].items()}


def test_of_csv(tmp_path: Path) -> None:
    lines = ["i,n,b,t,c,x,code,empty,asked,part"]
    for i in range(300):
        code = "A7" if i == 250 else str(i % 9 + 1)
        lines.append(f"{i},{i / 2},true,2024-05-01,c{i % 4},text {i},{code},,{i},{i % 9}" + "a" * (i > 5))
    why = _why(tmp_path, "\n".join(lines).encode(), CSV, asked="category")
    assert why == {
        "i": "every value is a whole number",
        "n": "every value is a number, not every one whole or of 64 bits",
        "b": "every value is true or false",
        "t": "every value is a date or a time",
        "c": "4 distinct values in 300 rows: at most 100, and at most half as many as rows",
        "x": "300 distinct values in 300 rows: more than 100",
        "code": "10 distinct values in 300 rows: at most 100, and at most half as many as rows; "
        "not number, since 'A7' is among the values",
        "empty": "no value is there to tell",
        "asked": "asked for",
        "part": "15 distinct values in 300 rows: at most 100, and at most half as many as rows; "
        "not number, since '6a' is among the values",
    }


def test_of_a_type_that_a_later_block_widens(tmp_path: Path) -> None:
    # Of the first block every value is an integer.
    rows = [f"{i % 50},{'v' * 200}" for i in range(100_000)] + ["none,v"]
    why = _why(tmp_path, "\n".join(["a,b", *rows]).encode(), CSV)
    assert str(why["a"]).endswith("; not integer, since 'none' is among the values")


def test_of_few_rows_and_of_many_values(tmp_path: Path) -> None:
    why = _why(tmp_path, b"a\nx\ny\nz\n", CSV)
    assert why == {"a": "3 distinct values in 3 rows: more than half as many as rows"}
    many = "\n".join(["a", *(f"v{i}" for i in range(30_000))])
    why = _why(tmp_path, many.encode(), CSV)
    assert why == {"a": "more than 20,000 distinct values in 30,000 rows: more than 100"}


def test_of_json_lines(tmp_path: Path) -> None:
    lines = [json.dumps({"i": i, "n": i / 2, "s": [1, 2], "t": "2024-05-01", "c": "x"}) for i in range(4)]
    assert _why(tmp_path, "\n".join(lines).encode(), NDJSON) == {
        "i": "every value is a whole number",
        "n": "every value is a number, not every one whole or of 64 bits",
        "s": "every value is a list of numbers",
        "t": "every value is a date or a time",
        "c": "1 distinct value in 4 rows: at most 100, and at most half as many as rows",
    }


def test_of_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "d": pa.array([1, 2], pa.int16()),
            "c": pa.array(["x", "x"]).dictionary_encode(),
            "z": pa.nulls(2),
            "f": [0.5, 1],
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    assert _why(tmp_path, sink.getvalue().to_pybytes(), PARQUET, f="text") == {
        "d": "the file says int16",
        "c": "1 distinct value in 2 rows: at most 100, and at most half as many as rows",
        "z": "no value is there to tell",
        "f": "asked for",
    }


@pytest.mark.parametrize(
    ("types", "label"), [({}, "the name of the file's folder"), ({"label": "text"}, "asked for")]
)
def test_of_a_zip(tmp_path: Path, types: dict[str, str], label: str) -> None:
    content = archive(("a/1.png", image()), ("b/2.png", image()))
    assert _why(tmp_path, content, ZIP, **types) == {"image": "a file of each folder", "label": label}
