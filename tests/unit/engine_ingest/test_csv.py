import csv
import io
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_workers.engine.data import csv_files, source
from headrace_workers.engine.data.string_values import MISSING


def set_blocks(patch: pytest.MonkeyPatch, size: int) -> None:
    patch.setattr(csv_files, "BLOCK_BYTES", size)
    patch.setattr(csv_files, "BLOCK_BYTES_PER_COLUMN", 0)
    patch.setattr(source, "GATHERED_ROWS", 1)


def test_types_and_values(ingest: Any) -> None:
    found = ingest(
        "n,i,b,c,t,when\n"
        "1.5,1,true,red,one,2024-05-31T10:00:00+02:00\n"
        "2,-2,False,red,two,2024-05-31 10:00:00.25Z\n"
        "1e3,3,TRUE,blue,three,\n"
        ",,,blue,four,2024-06-01\n"
    )
    assert found.columns == {
        "n": "number",
        "i": "integer",
        "b": "boolean",
        "c": "category",
        "t": "text",
        "when": "timestamp",
    }
    assert [c["nullable"] for c in found.last.result["columns"]] == [True, True, True, False, False, True]
    assert found.last.outputs == {"data": "data.parquet", "profile": "profile.json", "rows": "rows.json"}
    assert found.table.schema == pa.schema(
        [
            ("n", pa.float64()),
            ("i", pa.int64()),
            ("b", pa.bool_()),
            ("c", pa.string()),
            ("t", pa.string()),
            ("when", pa.timestamp("us", tz="UTC")),
        ]
    )
    assert found.table.to_pydict() == {
        "n": [1.5, 2.0, 1000.0, None],
        "i": [1, -2, 3, None],
        "b": [True, False, True, None],
        "c": ["red", "red", "blue", "blue"],
        "t": ["one", "two", "three", "four"],
        "when": [
            datetime(2024, 5, 31, 8, tzinfo=UTC),
            datetime(2024, 5, 31, 10, 0, 0, 250_000, tzinfo=UTC),
            None,
            datetime(2024, 6, 1, tzinfo=UTC),
        ],
    }
    assert found.rows["columns"] == ["n", "i", "b", "c", "t", "when"]
    assert found.rows["rows"][1] == {
        "n": 2.0,
        "i": -2,
        "b": False,
        "c": "red",
        "t": "two",
        "when": "2024-05-31T10:00:00.250000Z",
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["007", "012"], "text"),
        (["0", "10", "-5"], "integer"),
        (["-01", "2"], "text"),
        (["0x1F", "2"], "text"),
        (["0.5", "1"], "number"),
        (["00.5", "1"], "text"),
        (["9223372036854775807", "1"], "integer"),
        (["9223372036854775808", "1"], "number"),
        (["inf", "1"], "text"),
        (["1e999", "1"], "text"),
        ([" 1", "2 "], "integer"),
        (["1", "  "], "text"),
        (["1", "NA"], "integer"),
        (["1", "na"], "text"),
        (["1", "true"], "text"),
        (["true", "false"], "boolean"),
        (["2024-02-30", "2024-02-28"], "text"),
        (["2024-02-29", "2024-02-28T01:02:03.123456789Z"], "timestamp"),
        (["2024-02-29", "5"], "text"),
        (["", "null"], "category"),
    ],
)
def test_smallest_type_that_holds_all(ingest: Any, values: list[str], expected: str) -> None:
    assert ingest("id,x\n" + "".join(f"k,{v}\n" for v in values)).columns["x"] == expected


def test_category_is_at_most_100_values_and_half_of_the_rows(ingest: Any) -> None:
    def kind(distinct: int, rows: int) -> str:
        return str(ingest("x\n" + "".join(f"v{i % distinct}\n" for i in range(rows))).columns["x"])

    assert kind(100, 200) == "category"
    assert kind(101, 1000) == "text"
    assert kind(50, 99) == "text"
    assert kind(50, 100) == "category"


def test_long_values_count_apart_though_they_begin_alike(ingest: Any) -> None:
    found = ingest("x\n" + ("a" * 5000 + "1\n" + "a" * 5000 + "2\n") * 2)
    assert found.columns == {"x": "category"}
    assert found.profile["columns"]["x"]["distinct"] == 2
    assert len(found.rows["rows"][0]["x"]) < 2100


@pytest.mark.parametrize("spelled", MISSING)
def test_missing_is_spelled_exactly(ingest: Any, spelled: str) -> None:
    found = ingest(f'x,y\n1,{spelled}\n2,"{spelled}"\n')
    assert found.table["y"].null_count == 2
    assert found.profile["columns"]["y"]["missing"] == 2


def test_forced_types(ingest: Any) -> None:
    found = ingest("a,b,c,d\n007,1,5,red\n8,0,6,blue\n", a="integer", b="boolean", c="category", d="category")
    assert found.columns == {"a": "integer", "b": "boolean", "c": "category", "d": "category"}
    assert found.table.to_pydict() == {"a": [7, 8], "b": [True, False], "c": ["5", "6"], "d": ["red", "blue"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; its first line should name the columns"),
        (b"\n\n", "the file is empty; its first line should name the columns"),
        (b"a,b\n", "the file has a header and no rows"),
        (b"a,b", "the file has a header and no rows"),
        (b"a,\n1,2\n", "line 1: column 2 has no name"),
        (b"a,b,a\n1,2,3\n", "line 1: two columns are named 'a'"),
        (b"5.1,3.5\n4.9,3.0\n", "line 1: should name the columns, but holds only numbers"),
        (b"a,b\n1,2\n3\n", "line 3: has 1 field, the header has 2"),
        (b"a,b\n1,2\n\n3,4,5\n", "line 4: has 3 fields, the header has 2"),
        (b'a,b\n1,"x\ny\nz"\n3\n', "line 5: has 1 field, the header has 2"),
        (b"a,b\r1,2\r3\r", "line 3: has 1 field, the header has 2"),
        (b'a,b\n1,2\n3,"x\n4,5\n', "line 3: a quoted field begins here that is never closed"),
        (b'a,b\n1",2\n3,"x\n4,5\n', "line 3: a quoted field begins here that is never closed"),
        (b"a,b\n1,2\n3,\xff\n", "line 3: byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"a,\xe9\n1,2\n", "line 1: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"a,b\n1,2\n3,\xc3", "line 3: the file ends within a UTF-8 character; it is cut short"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1: the file is UTF-16; save it as UTF-8"),
        (b"a,b\n1,2\n3,\0\n", "line 3: holds a NUL byte, so this is no CSV text"),
        (b"a\0,b\n1,2\n", "line 1: holds a NUL byte, so this is no CSV text"),
        (b"x" * 2000 + b",b\n1,2\n", "line 1: the name of column 1 is longer than 1000 characters"),
    ],
)
def test_says_line_and_reason(ingest: Any, content: bytes, message: str) -> None:
    assert ingest(content).message.startswith(message)


def test_too_many_columns(ingest: Any) -> None:
    message = ingest(",".join(f"c{i}" for i in range(20_000)) + "\n" + "1," * 19_999 + "1\n").message
    assert message == "line 1: 20000 columns are too many; at most 5000 are read"


def test_a_line_without_end(ingest: Any) -> None:
    message = ingest(b"a,b\n1,2\n" + b"x" * (20 << 20)).message
    assert message.startswith("line 3: the record that begins here is longer than 16 MiB")


def test_a_long_record_is_read(ingest: Any) -> None:
    long = "x" * (3 << 20)
    found = ingest(f"a,b\n1,short\n2,{long}\n")
    assert found.table["b"].to_pylist() == ["short", long]


def test_misfit_of_a_forced_type_names_line_column_and_value(ingest: Any) -> None:
    rows = '1,"two\nlines"\n' * 3000
    message = ingest(f"n,t\n{rows}oops,x\n{rows}", n="number").message
    assert message == "line 6002, column 'n': 'oops' is not a finite number"


def test_types_must_name_columns(ingest: Any) -> None:
    assert ingest("a,b\n1,2\n", c="text").message == "types: there is no column 'c'; the columns are a, b"
    assert "cannot be image" in ingest("a,b\n1,2\n", a="image").message


def test_unknown_media_type(ingest: Any) -> None:
    assert "'text/plain'" in ingest("{}", "text/plain").message


def test_byte_order_mark_and_line_ends(ingest: Any) -> None:
    for end in ("\n", "\r\n", "\r"):
        found = ingest(b"\xef\xbb\xbf" + f"a,b{end}1,é{end}2,ü".encode(), "text/csv; charset=utf-8")
        assert found.table.to_pydict() == {"a": [1, 2], "b": ["é", "ü"]}


def test_stray_quotes_are_text(ingest: Any) -> None:
    assert ingest('a,b\n1,5" pipe\n2,plain\n').table["b"].to_pylist() == ['5" pipe', "plain"]


def test_row_groups_are_bounded(ingest: Any) -> None:
    found = ingest("a\n" + "".join(f"{i}\n" for i in range(20_000)))
    file = pq.ParquetFile(found.out / "data.parquet")
    assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) <= 8192
    assert found.table["a"].to_pylist() == list(range(20_000))
    assert len(found.rows["rows"]) == 200


def test_a_late_surprise_widens_the_whole_column(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    set_blocks(monkeypatch, 1000)
    found = ingest("a,b,c\n" + "".join(f"{i},{i},\n" for i in range(500)) + "x,0.5,2024-01-01\n")
    assert found.columns == {"a": "text", "b": "number", "c": "timestamp"}
    assert found.table["a"].to_pylist() == [*map(str, range(500)), "x"]
    assert found.table["b"].to_pylist() == [*map(float, range(500)), 0.5]
    assert found.profile["rows"] == 501
    fractions = [m.fraction for m in found.messages[:-1]]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_line_ends_inside_quotes_survive_the_ends_of_blocks(
    ingest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in range(20, 40):
        set_blocks(monkeypatch, size)
        found = ingest("a,b\r\n" + 'x,"y\r\nz"\r\n' * 50)
        assert found.table["b"].to_pylist() == ["y\r\nz"] * 50


# Text that must come back as it was: no NUL, which is refused, and no lone surrogates, which are no text.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES = {
    "integer": st.integers(-(2**63), 2**63 - 1),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "text": TEXT.filter(lambda t: t not in MISSING),
    "timestamp": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
}
COLUMN = st.sampled_from(sorted(VALUES)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(st.none() | VALUES[kind], min_size=12, max_size=12))
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(COLUMN, min_size=1, max_size=4), st.integers(1, 12), st.sampled_from([200, 1 << 20]))
def test_round_trip(ingest: Any, columns: list[Any], rows: int, block_bytes: int) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(f"c{i}" for i in range(len(columns)))
    for row in range(rows):
        cells = [values[row] for _, values in columns]
        writer.writerow(c.isoformat() if isinstance(c, datetime) else c for c in cells)
    with pytest.MonkeyPatch.context() as patch:
        set_blocks(patch, block_bytes)
        found = ingest(text.getvalue(), **{f"c{i}": kind for i, (kind, _) in enumerate(columns)})
    expected = {f"c{i}": values[:rows] for i, (_, values) in enumerate(columns)}
    assert found.table.to_pydict() == expected
    for name, values in expected.items():
        assert found.profile["columns"][name]["missing"] == values.count(None)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from([b"a", b"1", b",", b",", b"\n", b"\n", b"\r", b'"', b" ", b"\0", b"\xff"])))
def test_any_bytes_are_read_or_refused_with_a_reason(ingest: Any, content: list[bytes]) -> None:
    last = ingest(b"".join(content)).last
    assert last.type == "done" or (last.error == "BadData" and last.message), last
    if last.type == "failed":
        assert "line" in last.message or "header" in last.message or "empty" in last.message


CELLS = st.sampled_from(["1", "-2", "2.5", "true", "false", "2024-01-01", "x", "007", "", "NA", " 3", " "])


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(CELLS, min_size=2, max_size=40))
def test_where_blocks_end_makes_no_difference(ingest: Any, cells: list[str]) -> None:
    content = "k,x\n" + "".join(f"{'k' * 20},{cell}\n" for cell in cells)
    whole = ingest(content)
    with pytest.MonkeyPatch.context() as patch:
        set_blocks(patch, 60)
        pieces = ingest(content)
    assert pieces.columns == whole.columns
    assert pieces.table["x"].to_pylist() == whole.table["x"].to_pylist()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters(ingest: Any, delimiter: str, end: str) -> None:
    rows = [["name", "n"], ['a "b', "1"], [f"x{delimiter}{end}y", "2"], ["1,2;3", "3"]]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
    found = ingest(text.getvalue())
    assert found.columns == {"name": "text", "n": "integer"}
    assert found.table["name"].to_pylist() == [row[0] for row in rows[1:]]


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a;b\n1,5;x,y\n2;z\n", {"a": "number", "b": "text"}),
        ("a;b,c\n1;2\n3;4\n", {"a": "integer", "b,c": "integer"}),
        ("words\nfirst; second\nthird\n", {"words": "text"}),
        ("a\tb|c\n1\t2|3\n", {"a": "integer", "b|c": "text"}),
        ('"a;b",c\n1,2\n', {"a;b": "integer", "c": "integer"}),
    ],
)
def test_delimiters_that_also_stand_elsewhere(ingest: Any, content: str, columns: dict[str, str]) -> None:
    assert ingest(content).columns == columns


def test_a_wrong_file_is_explained_by_the_delimiter_that_was_meant(ingest: Any) -> None:
    assert ingest("a;b\n1;2\n3\n").message == "line 3: has 1 field, the header has 2"
    assert ingest("a\tb\n1\tx\noops\t2\n", a="integer").message.startswith("line 3, column 'a': 'oops'")
    assert ingest('a;b\n1;2\n3;"x\n4;5\n').message.startswith("line 3: a quoted field begins here")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1,5", "-2", "3e2"], [1.5, -2.0, 300.0]),
        (["0,125", "1,234"], [0.125, 1.234]),
        (["1234,567"], [1234.567]),
        (["1,234", "5,678"], ["1,234", "5,678"]),
        (["1,5", "2.5"], ["1,5", "2.5"]),
        (["1,5", "1.234,5"], ["1,5", "1.234,5"]),
        (["2.5", "3"], [2.5, 3.0]),
        (["1,5", "x"], ["1,5", "x"]),
        (["1,5,5"], ["1,5,5"]),
    ],
)
def test_a_decimal_comma_is_read_where_it_can_be_nothing_else(
    ingest: Any, values: list[str], expected: list[Any]
) -> None:
    for delimiter in (";", "\t", "|"):
        found = ingest(f"k{delimiter}x\n" + "".join(f"k{delimiter}{value}\n" for value in values))
        assert found.table["x"].to_pylist() == expected


def test_a_decimal_comma_in_a_file_parted_by_commas_is_text(ingest: Any) -> None:
    assert ingest('k,x\nk,"1,5"\n').table["x"].to_pylist() == ["1,5"]


@pytest.mark.parametrize(
    "written",
    [
        "2024/05/01",
        "2024/5/1",
        "01.05.2024",
        "1.5.2024",
        "1 May 2024",
        "01-may-2024",
        "May 1, 2024",
        "2024-05-01",
    ],
)
def test_dates_that_can_be_read_in_one_way_only(ingest: Any, written: str) -> None:
    found = ingest(f'a,b\n"{written}",x\n"{written} 10:30:00",x\n')
    assert found.columns["a"] == "timestamp"
    assert found.table["a"].to_pylist() == [
        datetime(2024, 5, 1, tzinfo=UTC),
        datetime(2024, 5, 1, 10, 30, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    "written", ["05/06/2024", "31/05/2024", "1.5.24", "31.02.2024", "2024/13/01", "May 2024"]
)
def test_other_dates_are_text(ingest: Any, written: str) -> None:
    assert ingest(f"a,b\n{written},x\n{written}x,x\n").columns["a"] == "text"
    assert ingest(f"a,b\n{written},x\n").table["a"].to_pylist() == [written]
