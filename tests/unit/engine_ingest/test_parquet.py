import io
import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_workers.engine.data import parquet_pages, parquet_upload, source

PARQUET = "application/vnd.apache.parquet"


def parquet(columns: dict[str, Any] | pa.Table, **options: Any) -> bytes:
    data = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), data, **options)
    return data.getvalue()


def test_types_and_values(ingest: Any) -> None:
    noon = datetime(2024, 5, 31, 12, 0, 0, 250_000)
    found = ingest(
        parquet(
            {
                "i8": pa.array([1, None], pa.int8()),
                "u64": pa.array([2**63, 1], pa.uint64()),
                "u32": pa.array([2**32 - 1, 1], pa.uint32()),
                "f32": pa.array([0.5, np.nan], pa.float32()),
                "b": [True, None],
                "s": ["x", None],
                "d": pa.array(["red", "red"]).dictionary_encode(),
                "whole": pa.array([Decimal(7), None], pa.decimal128(10, 0)),
                "money": pa.array([Decimal("7.25"), None], pa.decimal128(10, 2)),
                "day": pa.array([date(2024, 5, 31), None]),
                "naive": pa.array([noon, None], pa.timestamp("ns")),
                "zone": pa.array([noon, None], pa.timestamp("ms", "Europe/Berlin")),
                "list": pa.array([[1, 2], []], pa.list_(pa.int32())),
                "fixed": pa.array([[1.5, 2], None], pa.list_(pa.float32(), 2)),
                "none": pa.nulls(2),
            }
        ),
        PARQUET,
    )
    assert found.columns == {
        "i8": "integer",
        "u64": "number",
        "u32": "integer",
        "f32": "number",
        "b": "boolean",
        "s": "category",
        "d": "category",
        "whole": "integer",
        "money": "number",
        "day": "timestamp",
        "naive": "timestamp",
        "zone": "timestamp",
        "list": "sequence",
        "fixed": "sequence",
        "none": "category",
    }
    at_noon = noon.replace(tzinfo=UTC)
    assert found.table.to_pydict() == {
        "i8": [1, None],
        "u64": [float(2**63), 1.0],
        "u32": [2**32 - 1, 1],
        "f32": [0.5, None],
        "b": [True, None],
        "s": ["x", None],
        "d": ["red", "red"],
        "whole": [7, None],
        "money": [7.25, None],
        "day": [datetime(2024, 5, 31, tzinfo=UTC), None],
        "naive": [at_noon, None],
        "zone": [at_noon, None],
        "list": [[1.0, 2.0], []],
        "fixed": [[1.5, 2.0], None],
        "none": [None, None],
    }
    assert found.profile["columns"]["f32"]["missing"] == 1


def test_forced_types(ingest: Any) -> None:
    found = ingest(
        parquet({"a": [1, 0], "b": ["7", "8"], "c": [1, 2], "d": ["x", "x"]}),
        PARQUET,
        a="boolean",
        b="integer",
        c="text",
        d="text",
    )
    assert found.columns == {"a": "boolean", "b": "integer", "c": "text", "d": "text"}
    assert found.table.to_pydict() == {"a": [True, False], "b": [7, 8], "c": ["1", "2"], "d": ["x", "x"]}
    message = ingest(parquet({"b": ["7", "x"]}), PARQUET, b="number").message
    assert message == "row 2, column 'b': 'x' is not a finite number"


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "none", "use_dictionary": False},
        {"compression": "gzip", "data_page_version": "2.0"},
        {"compression": "zstd", "row_group_size": 999, "data_page_size": 100},
        {"compression": "snappy", "column_encoding": {"i": "DELTA_BINARY_PACKED"}, "use_dictionary": ["s"]},
        {"compression": "lz4", "write_page_checksum": True, "write_page_index": True},
        {"compression": "brotli", "column_encoding": {"f": "BYTE_STREAM_SPLIT"}, "use_dictionary": False},
    ],
)
def test_however_it_was_written(ingest: Any, options: dict[str, Any]) -> None:
    columns = {
        "i": list(range(30_000)),
        "f": [i / 7 for i in range(30_000)],
        "s": [f"value {i % 7}" if i % 3 else None for i in range(30_000)],
        "l": [[i, i + 1] for i in range(30_000)],
        "a.b": [i % 2 == 0 for i in range(30_000)],
    }
    found = ingest(parquet(columns, **options), PARQUET)
    assert found.table.to_pydict() == columns
    assert found.columns["s"] == "category"
    fractions = [m.fraction for m in found.messages[:-1]]
    assert fractions == sorted(fractions)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([b"x"]), "column 'x' holds binary, which is not read; numbers, booleans, strings"),
        (pa.array([{"a": 1}]), "column 'x' holds struct<a: int64>, which is not read"),
        (pa.array([[[1]]]), "column 'x' holds list<element: list<element: int64>>, which is not read"),
        (pa.array([["a"]]), "column 'x' holds list<element: string>, which is not read"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "column 'x' holds map<"),
        (pa.array([1], pa.time64("us")), "column 'x' holds time64[us], which is not read"),
        (pa.array([1], pa.duration("s")), "column 'x' holds duration[s], which is not read"),
        (pa.array([1.0, np.inf]), "row 2, column 'x': inf is infinite"),
        (pa.array([[1, None]]), "row 1, column 'x': a list holds a null"),
        (pa.array([[np.nan]]), "row 1, column 'x': a list holds what is not finite"),
        (pa.array([2**62], pa.timestamp("ms")), "row 1, column 'x': a time is beyond the years 1 to 9999"),
        (pa.array([2**60], pa.timestamp("us")), "row 1, column 'x': 1152921504606846976 microseconds"),
        (pa.array([], pa.int64()), "the file has no rows"),
    ],
)
def test_refused_with_the_columns_name(ingest: Any, column: pa.Array, message: str) -> None:
    assert ingest(parquet({"x": column}), PARQUET).message.startswith(message)


def test_text_that_is_no_utf8_is_refused(ingest: Any) -> None:
    content = parquet({"x": ["aXb"]}, compression="none", use_dictionary=False, write_statistics=False)
    assert content.count(b"aXb") == 1
    assert "UTF8" in ingest(content.replace(b"aXb", b"a\xffb"), PARQUET).message.replace("UTF-8", "UTF8")


def test_names(ingest: Any) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert ingest(parquet(twice), PARQUET).message == "two columns are named 'a'"
    assert ingest(parquet({"": [1]}), PARQUET).message == "column 1 has no name"


GOOD = parquet({"a": list(range(1000)), "s": [f"v{i}" for i in range(1000)]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is no Parquet file"),
        (b"PAR1", "the file is cut short"),
        (GOOD[:-1], "the file is cut short"),
        (GOOD[: len(GOOD) // 2], "the file is cut short"),
        (GOOD[:-4] + b"PARE", "the file's footer is encrypted"),
        (GOOD[:-8] + struct.pack("<I", 2**32 - 1) + b"PAR1", "the footer claims 4,294,967,295 bytes"),
        (GOOD[:-8] + struct.pack("<I", 3) + b"PAR1", "the file cannot be read as Parquet"),
        (b"PAR1" + bytes(20 << 20) + struct.pack("<I", 20 << 20) + b"PAR1", "the footer takes 20 MiB"),
    ],
)
def test_a_broken_frame(ingest: Any, content: bytes, message: str) -> None:
    assert ingest(content, PARQUET).message.startswith(message)


def test_more_cells_than_the_file_has_room_for(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "FREE_CELLS", 1000)
    content = parquet({"x": np.zeros(3_000_000, np.int8)})
    assert ingest(content, PARQUET).message.startswith("3,000,000 rows or more of 1 columns are out of")


def test_text_that_unfolds_out_of_proportion(ingest: Any) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), pa.array(["x" * 500_000]))
    assert "out of proportion" in ingest(parquet({"x": column}), PARQUET).message


def test_pages_are_bounded_by_their_own_headers(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = parquet({"x": np.zeros(100_000)}, use_dictionary=False, compression="zstd")
    assert ingest(content, PARQUET).columns == {"x": "number"}
    monkeypatch.setattr(parquet_pages, "MAX_PAGE_BYTES", 100_000)
    assert "it has a page of" in ingest(content, PARQUET).message
    monkeypatch.undo()
    monkeypatch.setattr(parquet_upload, "MAX_PAGES_BYTES", 100_000)
    assert "the largest pages of its columns take" in ingest(content, PARQUET).message


def test_headers_of_pages_are_read_as_arrow_writes_them() -> None:
    content = parquet({"x": list(range(10_000))}, compression="zstd", data_page_size=5_000)
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(0)
    start = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
    found = parquet_pages.read_chunk(io.BytesIO(content), start, chunk.total_compressed_size)
    assert found.values == 10_000
    assert found.pages > 3
    assert 80_000 <= found.dictionary_bytes <= 81_000


def test_a_repeating_encoding_and_lists_without_end_are_refused(ingest: Any) -> None:
    content = parquet({"x": ["a", "b"]}, use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"})
    assert "the encoding DELTA_BYTE_ARRAY is not read" in ingest(content, PARQUET).message
    content = parquet({"x": pa.array([np.zeros(9 << 20, np.int8)], pa.list_(pa.int8()))})
    assert "at most 8,388,608 are read of a row group" in ingest(content, PARQUET).message


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_are_read_or_refused(ingest: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(50):
        broken = bytearray(GOOD)
        broken[random.integers(len(broken))] ^= 1 << int(random.integers(8))
        last = ingest(bytes(broken), PARQUET).last
        assert last.type == "done" or last.error == "BadData", last
