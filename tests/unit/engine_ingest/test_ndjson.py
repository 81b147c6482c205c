import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_workers.engine.data import ndjson_files

NDJSON = "application/x-ndjson"


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_types_and_values(ingest: Any) -> None:
    found = ingest(
        lines(
            {"n": 1.5, "i": 1, "b": True, "c": "red", "t": "2024-05-31T10:00:00+02:00", "s": [1, 2.5]},
            {"n": 2, "i": -2, "b": False, "c": "red", "t": "2024-06-01", "s": []},
            {"i": None, "c": "7", "s": None},
            {"n": 1e3, "i": 2**63 - 1, "c": "red", "extra": "é"},
        ),
        NDJSON,
    )
    assert found.columns == {
        "n": "number",
        "i": "integer",
        "b": "boolean",
        "c": "category",
        "t": "timestamp",
        "s": "sequence",
        "extra": "category",
    }
    assert found.table.to_pydict() == {
        "n": [1.5, 2.0, None, 1000.0],
        "i": [1, -2, None, 2**63 - 1],
        "b": [True, False, None, None],
        "c": ["red", "red", "7", "red"],
        "t": [datetime(2024, 5, 31, 8, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC), None, None],
        "s": [[1.0, 2.5], [], None, None],
        "extra": [None, None, None, "é"],
    }
    assert found.rows["rows"][0]["s"] == [1.0, 2.5]
    assert found.profile["columns"]["s"]["length"] == {"min": 0, "max": 2, "mean": 1.0}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], "integer"),
        ([1, 2.0], "number"),
        ([1, 2**63], "number"),
        ([1, 10**300], "number"),
        (["1", "2"], "text"),
        (["2024-01-01", "soon"], "text"),
        (["true", "true"], "category"),
        ([None, None], "category"),
        ([None, [1]], "sequence"),
    ],
)
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_smallest_type_that_holds_all(
    ingest: Any, monkeypatch: pytest.MonkeyPatch, block: int, values: list[Any], expected: str
) -> None:
    monkeypatch.setattr(ndjson_files, "BLOCK_BYTES", block)
    found = ingest(lines(*({"x": value} for value in values)), NDJSON)
    assert found.columns == {"x": expected}
    assert found.table["x"].to_pylist() == [float(v) if expected == "number" else v for v in values]


def test_a_late_key_and_a_late_type_lead_to_a_second_reading(
    ingest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson_files, "BLOCK_BYTES", 50)
    found = ingest(lines(*({"a": i} for i in range(100)), {"a": 0.5, "late": True}), NDJSON)
    assert found.columns == {"a": "number", "late": "boolean"}
    assert found.table["late"].to_pylist() == [None] * 100 + [True]
    fractions = [m.fraction for m in found.messages[:-1]]
    assert fractions == sorted(fractions)


def test_forced_types(ingest: Any) -> None:
    found = ingest(
        lines({"a": "7", "b": 1, "c": 5, "d": "x"}, {"a": 8, "b": 0, "c": 5, "d": True}),
        NDJSON,
        a="integer",
        b="boolean",
        c="category",
        d="text",
    )
    assert found.columns == {"a": "integer", "b": "boolean", "c": "category", "d": "text"}
    assert found.table.to_pydict() == {"a": [7, 8], "b": [True, False], "c": ["5", "5"], "d": ["x", "true"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty; it should hold one JSON object a line"),
        ("\n \n", "the file is empty"),
        ('{"a": 1}\n{"a": }\n', "line 2: is no JSON: Expecting value at character 7"),
        ('{"a": 1}\n\n[1, 2]\n', "line 3: should be a JSON object, one a line"),
        ('{"a": 1} {"a": 2}\n', "line 1: is no JSON: Extra data"),
        ('[{"a": 1},\n{"a": 2}]', "line 1: is no JSON"),
        ('{"a": 1, "a": 2}\n', "line 1: the key 'a' is there twice"),
        ('{"a": NaN}\n', "line 1: NaN is no JSON; a missing value is null"),
        ('{"a": 1e999}\n', "line 1, column 'a': Infinity is too large a number"),
        ('{"a": 1}\n{"a": ' + "9" * 5000 + "}\n", "line 2: holds a number with too many digits"),
        ('{"a": 1}\n{"a": ' + "9" * 400 + "}\n", "line 2, column 'a': an integer is too large a number"),
        ('{"a": ' + "[" * 100_000, "line 1: is nested too deeply"),
        ('{"": 1}\n', "line 1: column 1 has no name"),
        ('{"a": 1}\n{"b\\u0000": 1}\n', "line 2: the name of column 1 holds what is no text"),
        ('{"\\ud800": 1}\n', "line 1: the name of column 1 holds what is no text"),
        ('{"a": "x\\u0000"}\n', "line 1, column 'a': \"x\\u0000\" holds the character NUL"),
        ('{"a": "\\ud800"}\n', "line 1, column 'a': '\\ud800' holds half of a surrogate pair"),
        ('{"a": 1}\n{"a": {"b": 1}}\n', "line 2, column 'a': {\"b\": 1} is an object; nested values"),
        ('{"a": {"b": 1}}\n', "line 1, column 'a': {\"b\": 1} is an object"),
        ('{"a": [1]}\n{"a": [[1]]}\n', "line 2, column 'a': [[1]] is not a list of numbers"),
        ('{"a": [1, null]}\n', "line 1, column 'a': [1, null] is not a list of numbers"),
        ('{"a": [true]}\n', "line 1, column 'a': [true] is not a list of numbers"),
        ('{"a": 1}\n{"a": "x"}\n', "line 2, column 'a': \"x\" is a string, before came a number"),
        ('{"a": true}\n{"a": 1}\n', "line 2, column 'a': 1 is a number, before came a boolean"),
        ('{"a": [1]}\n{"a": 1}\n', "line 2, column 'a': 1 is a number, before came a list"),
        (b'{"a": "\xe9"}\n', "line 1: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ('{"a": 1}\n'.encode("utf-16"), "line 1: the file is UTF-16; save it as UTF-8"),
        ('{"a": "' + "x" * (5 << 20), "line 1: is longer than 4 MiB"),
        ("{" + ",".join(f'"c{i}":1' for i in range(20_000)) + "}", "line 1: 20000 columns are too many"),
    ],
)
def test_says_line_and_reason(ingest: Any, content: str | bytes, message: str) -> None:
    assert ingest(content, NDJSON).message.startswith(message)


def test_misfit_of_a_forced_type(ingest: Any) -> None:
    message = ingest(lines({"a": 1}, {"a": "x"}), NDJSON, a="number").message
    assert message == "line 2, column 'a': 'x' is not a finite number"
    message = ingest(lines({"a": [1]}), NDJSON, a="text").message
    assert message == "line 1, column 'a': [1] is not text"
    assert ingest(lines({"a": 1}), NDJSON, b="text").message.startswith("types: there is no column 'b'")
    assert "cannot be image" in ingest(lines({"a": 1}), NDJSON, a="image").message


def test_sparse_tables_are_bounded_by_the_bytes_of_the_file(ingest: Any) -> None:
    content = "".join(f'{{"c{i % 4_500}":1}}\n' for i in range(30_000))
    assert "are out of proportion to a file" in ingest(content, NDJSON).message


def test_byte_order_mark_and_line_ends(ingest: Any) -> None:
    found = ingest(b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}', NDJSON)
    assert found.table["a"].to_pylist() == [1, 2]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(OBJECTS, min_size=1, max_size=6), st.sampled_from([1, 1 << 20]))
def test_any_objects_are_read_as_they_are_or_refused(ingest: Any, rows: list[Any], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ndjson_files, "BLOCK_BYTES", block)
        found = ingest(lines(*rows), NDJSON)
    if found.last.type == "failed":
        assert found.message.startswith("line ")
        return
    for name, type_ in found.columns.items():
        if type_ != "timestamp":
            expected = [row.get(name) for row in rows]
            if type_ == "number":
                expected = [None if v is None else float(v) for v in expected]
            assert found.table[name].to_pylist() == expected
