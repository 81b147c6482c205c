"""Hostile CSV files and JSON lines."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from acceptance.hostile.files import CSV, NDJSON, Case, object_array, pickled

MB = 1 << 20


def wide(columns: int, rows: int = 1) -> bytes:
    header = ",".join(f"c{i}" for i in range(columns))
    return (header + "\n" + (",".join(["1"] * columns) + "\n") * rows).encode()


def one_line(path: Path, start: bytes, piece: bytes, end: bytes) -> None:
    """Write a line of 100 MB."""
    with path.open("wb") as file:
        file.write(start)
        for _ in range(100):
            file.write(piece * (MB // len(piece)))
        file.write(end)


def rows(row: bytes, count: int = 200_000, header: bytes = b"a,b\n") -> bytes:
    return header + row * count


def npz() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("arr_0.npy", object_array())
    return data.getvalue()


EXTREMES = "x\n" + "".join(f"{m}e{e}\n" for m in (-9, 1, 7) for e in range(-307, 308, 3))
DEEP = b'{"a":' * 200_000 + b"1" + b"}" * 200_000

CASES: dict[str, Case] = {
    "csv: nothing": Case(CSV, lambda: b"", "the file is empty"),
    "csv: only line ends": Case(CSV, lambda: b"\n" * (10 * MB), "the file is empty"),
    "csv: only commas": Case(CSV, lambda: b"," * (10 * MB), "columns are too many"),
    "csv: only quotes": Case(CSV, lambda: b'"' * (10 * MB + 1), "line 1"),
    "csv: an empty line, then ragged": Case(
        CSV, lambda: b"a,b\n\n1\n", "line 3: has 1 field, the header has 2"
    ),
    "csv: ragged after 200,000 rows": Case(
        CSV, lambda: rows(b"1,2\n") + b"1,2,3\n", "line 200002: has 3 fields, the header has 2"
    ),
    "csv: equal names": Case(CSV, lambda: b"a,b,a\n1,2,3\n", "two columns are named 'a'"),
    "csv: an empty name": Case(CSV, lambda: b"a,,c\n1,2,3\n", "column 2 has no name"),
    "csv: a name of blanks": Case(CSV, lambda: b"a, ,c\n1,2,3\n", "column 2 has no name"),
    "csv: a name of a million characters": Case(
        CSV, lambda: b"a," + b"x" * MB + b"\n1,2\n", "is longer than 1000"
    ),
    "csv: names of HTML, SQL and formulas": Case(
        CSV, lambda: b"<script>alert(1)</script>,'; DROP TABLE jobs; --,=cmd|' /C calc'!A0\n1,2,3\n", 1
    ),
    "csv: names of one shape": Case(CSV, "a,\u0430\n1,2\n".encode, 1),
    "csv: a line of 100 MB": Case(
        CSV, lambda p: one_line(p, b"a,b\n1,", b"x", b"\n"), "is longer than 16 MiB"
    ),
    "csv: a header of 100 MB": Case(CSV, lambda p: one_line(p, b"a", b"x", b"\n1\n"), "is longer than 1000"),
    "csv: a line of 100 MB of commas": Case(CSV, lambda p: one_line(p, b"a,b\n1", b",", b"\n"), "line 2"),
    "csv: a quoted field of 100 MB": Case(CSV, lambda p: one_line(p, b'a,b\n1,"', b"x\n", b'"\n'), "line 2"),
    "csv: a quote never closed": Case(CSV, lambda: b'a,b\n1,"' + rows(b"1,2\n"), "line 2"),
    "csv: UTF-8, then Latin-1": Case(
        CSV,
        lambda: rows("é,2\n".encode(), 100_000) + "é,2\n".encode("latin-1"),
        "line 100002: byte 0xe9 is not UTF-8",
    ),
    "csv: half of a surrogate pair": Case(
        CSV, lambda: b"a\n\xed\xa0\x80\n", "line 2: byte 0xed is not UTF-8"
    ),
    "csv: NUL as two bytes": Case(CSV, lambda: b"a\n\xc0\x80\n", "line 2: byte 0xc0 is not UTF-8"),
    "csv: UTF-16": Case(CSV, lambda: "a,b\n1,2\n".encode("utf-16"), "the file is UTF-16"),
    "csv: UTF-16 without a mark": Case(CSV, lambda: "a,b\n1,2\n".encode("utf-16-le"), "NUL"),
    "csv: UTF-32": Case(CSV, lambda: "a,b\n1,2\n".encode("utf-32"), "line 1"),
    "csv: a NUL after 200,000 rows": Case(
        CSV, lambda: rows(b"1,2\n") + b"1,\0\n", "line 200002: holds a NUL byte"
    ),
    "csv: 20,000 columns": Case(CSV, lambda: wide(20_000, 5), "20000 columns are too many"),
    "csv: 5,000 columns": Case(CSV, lambda: wide(5_000, 1_000), 1_000),
    "csv: 2,000,000 columns": Case(CSV, lambda: wide(2_000_000), "columns are too many"),
    "csv: columns that change their type in the last row": Case(
        CSV, lambda: rows(b"1,2\n") + b"x,y\n", 200_001
    ),
    "csv: a number of a million digits": Case(CSV, lambda: b"a,b\n1," + b"9" * MB + b"\n", 1),
    "csv: numbers beyond floats": Case(CSV, lambda: b"a,b\n1e99999,inf\n-1e99999,nan\n", 2),
    "csv: numbers of every size": Case(CSV, EXTREMES.encode, len(EXTREMES.split()) - 1),
    "csv: times at the ends of time": Case(
        CSV, lambda: b"a,b\n0001-01-01,9999-12-31T23:59:59.999999Z\n0000-01-01,99999-01-01\n", 2
    ),
    "csv: cells of formulas": Case(CSV, lambda: b"a,b\n=1+1,@SUM(A1)\n+cmd,-2\n", 2),
    "csv: 3,000,000 empty cells": Case(CSV, lambda: rows(b",\n", 1_500_000), 1_500_000),
    "csv: a pickle": Case(CSV, pickled, "line 1"),
    "csv: an array of objects": Case(CSV, object_array, "line 1"),
    "csv: an archive of arrays": Case(CSV, npz, "holds a NUL byte"),
    "csv: noise": Case(CSV, lambda: np.random.default_rng(0).bytes(MB), "line "),
    "ndjson: nothing": Case(NDJSON, lambda: b"\n\n", "the file is empty"),
    "ndjson: 200,000 levels deep": Case(NDJSON, lambda: DEEP, "line 1: is nested too deeply"),
    "ndjson: 2,000,000 open brackets": Case(NDJSON, lambda: b"[" * 2_000_000, "line 1: is nested too deeply"),
    "ndjson: a key twice": Case(NDJSON, lambda: b'{"a":1,"a":2}\n', "the key 'a' is there twice"),
    "ndjson: 200,000 equal keys": Case(
        NDJSON, lambda: b"{" + b",".join([b'"a":1'] * 200_000) + b"}", "the key 'a' is there twice"
    ),
    "ndjson: 20,000 keys": Case(
        NDJSON,
        lambda: b"{" + b",".join(b'"c%d":1' % i for i in range(20_000)) + b"}",
        "20000 columns are too many",
    ),
    "ndjson: a new key in every line": Case(
        NDJSON, lambda: b"".join(b'{"c%d":1}\n' % i for i in range(50_000)), "out of proportion"
    ),
    "ndjson: 4,500 keys, one a line": Case(
        NDJSON, lambda: b"".join(b'{"c%d":1}\n' % (i % 4_500) for i in range(200_000)), "out of proportion"
    ),
    "ndjson: a number of 10,000 digits": Case(
        NDJSON, lambda: b'{"a":' + b"9" * 10_000 + b"}\n", "too many digits"
    ),
    "ndjson: numbers beyond floats": Case(NDJSON, lambda: b'{"a":1e999}\n', "is too large a number"),
    "ndjson: NaN": Case(NDJSON, lambda: b'{"a":NaN}\n', "NaN is no JSON"),
    "ndjson: NUL in a text": Case(NDJSON, lambda: b'{"a":"\\u0000"}\n', "holds the character NUL"),
    "ndjson: NUL in a key": Case(NDJSON, lambda: b'{"\\u0000":1}\n', "holds what is no text"),
    "ndjson: half of a surrogate pair": Case(NDJSON, lambda: b'{"a":"\\ud800"}\n', "surrogate"),
    "ndjson: UTF-8, then Latin-1": Case(
        NDJSON, lambda: b'{"a":"x"}\n' * 100_000 + b'{"a":"\xe9"}\n', "line 100001: byte 0xe9 is not UTF-8"
    ),
    "ndjson: a line of 100 MB": Case(
        NDJSON, lambda p: one_line(p, b'{"a":"', b"x", b'"}\n'), "is longer than 4 MiB"
    ),
    "ndjson: numbers, then text": Case(
        NDJSON, lambda: b'{"a":1}\n' * 100_000 + b'{"a":"x"}\n', "line 100001, column 'a': \"x\" is a string"
    ),
    "ndjson: a list of a million numbers": Case(
        NDJSON, lambda: b'{"a":[' + b",".join([b"1.5"] * 900_000) + b"]}\n", 1
    ),
    "ndjson: objects in objects": Case(NDJSON, lambda: b'{"a":{"b":1}}\n', "nested values are not read"),
    "ndjson: one list of objects": Case(NDJSON, lambda: b'[{"a":1},{"a":2}]\n', "should be a JSON object"),
    "ndjson: names of other languages' objects": Case(
        NDJSON, lambda: b'{"__proto__":1,"constructor":2,"__class__":3}\n', 1
    ),
    "ndjson: a pickle": Case(NDJSON, pickled, "line 1"),
    "ndjson: cut off": Case(NDJSON, lambda: b'{"a":1}\n{"a":', "line 2: is no JSON"),
}
