"""Hostile Parquet files."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from acceptance.hostile.files import PARQUET, Case, flipped, object_array, pickled

ROWS = 1003


def parquet(columns: Any, **options: Any) -> bytes:
    data = io.BytesIO()
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, data, **{"write_statistics": False, "store_schema": False} | options)
    return data.getvalue()


def sound() -> bytes:
    return parquet({"a": np.arange(ROWS), "s": [f"v{i}" for i in range(ROWS)]}, compression="none")


def varint(number: int) -> bytes:
    """Return ``number`` as Thrift's compact protocol has it."""
    number, found = number << 1, bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def claiming(rows: int, where: slice = slice(None)) -> bytes:
    """Return a file whose footer says ``rows`` where (of those places ``where``) it says how many it has."""
    data = sound()
    (length,) = struct.unpack("<I", data[-8:-4])
    body, footer = data[: -8 - length], data[-8 - length : -8]
    pieces = footer.split(varint(ROWS))
    chosen = set(range(len(pieces) - 1)[where])
    footer = pieces[0] + b"".join(
        (varint(rows) if i in chosen else varint(ROWS)) + piece for i, piece in enumerate(pieces[1:])
    )
    return body + footer + struct.pack("<I", len(footer)) + b"PAR1"


def lying_page() -> bytes:
    """Return a file with a page whose header says that it unpacks to 128 MB."""
    data = parquet(
        {"a": np.arange(200_000.0)}, use_dictionary=False, data_page_size=1 << 30, max_rows_per_page=1 << 30
    )
    # A struct whose first fields are the page's type, 0, and the size.
    assert data[4:7] == b"\x15\0\x15"
    return data[:7] + b"\xfe\xff\xff\x7f" + data[11:]


def zero_page(rows: int) -> bytes:
    return parquet(
        {"a": np.zeros(rows)},
        use_dictionary=False,
        compression="zstd",
        data_page_size=1 << 30,
        max_rows_per_page=1 << 30,
        row_group_size=rows,
    )


def zero_texts() -> bytes:
    """Return a file of 2 GB of text that takes some kilobytes, in pages of moderate size."""
    texts = pa.array(["x" * (1 << 20)] * 4)
    data = io.BytesIO()
    with pq.ParquetWriter(
        data,
        pa.schema([("a", pa.string())]),
        use_dictionary=False,
        compression="zstd",
        write_statistics=False,
    ) as writer:
        for _ in range(100):
            writer.write_table(pa.table({"a": texts}))
    return data.getvalue()


def repeated(text: int, rows: int) -> bytes:
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * text]))
    return parquet({"a": column}, row_group_size=rows)


def deep(levels: int) -> bytes:
    type_: pa.DataType = pa.int64()
    for _ in range(levels):
        type_ = pa.struct([("a", type_)])
    return parquet(pa.table({"x": pa.nulls(3, type_)}))


def named(*names: str) -> bytes:
    return parquet(pa.Table.from_arrays([pa.array([1])] * len(names), names=list(names)))


def footer_length(length: int) -> bytes:
    return sound()[:-8] + struct.pack("<I", length) + b"PAR1"


NOT = "is no Parquet file"

CASES: dict[str, Case] = {
    "parquet: nothing": Case(PARQUET, lambda: b"", NOT),
    "parquet: only its mark": Case(PARQUET, lambda: b"PAR1PAR1", "the file is cut short"),
    "parquet: cut in the middle": Case(PARQUET, lambda: sound()[:3000], "the file is cut short"),
    "parquet: cut in the footer": Case(PARQUET, lambda: sound()[:-20], "the file is cut short"),
    "parquet: the middle is missing": Case(PARQUET, lambda: sound()[:1000] + sound()[3000:], ""),
    "parquet: a footer longer than the file": Case(
        PARQUET, lambda: footer_length(2**31), "the footer claims"
    ),
    "parquet: a footer of nothing": Case(PARQUET, lambda: footer_length(0), "cannot be read as Parquet"),
    "parquet: a footer of zeros": Case(
        PARQUET, lambda: b"PAR1" + bytes(15 << 20) + struct.pack("<I", 15 << 20) + b"PAR1", ""
    ),
    "parquet: a footer of 32 MB": Case(
        PARQUET,
        lambda: b"PAR1" + bytes(32 << 20) + struct.pack("<I", 32 << 20) + b"PAR1",
        "the footer takes 32 MiB",
    ),
    "parquet: an encrypted footer": Case(PARQUET, lambda: sound()[:-4] + b"PARE", "is encrypted"),
    "parquet: a claim of a billion rows": Case(PARQUET, lambda: claiming(10**9), "out of proportion"),
    "parquet: a claim of a billion rows in one place": Case(
        PARQUET, lambda: claiming(10**9, slice(-1, None)), ""
    ),
    "parquet: a claim of some more rows": Case(PARQUET, lambda: claiming(5_000), ""),
    "parquet: a claim of fewer rows": Case(PARQUET, lambda: claiming(1_000), 1_000),
    "parquet: a claim of fewer rows than none": Case(PARQUET, lambda: claiming(2**62), ""),
    "parquet: a page that claims 128 MB": Case(PARQUET, lying_page, "it has a page of 134,217,727 bytes"),
    "parquet: a page of 96 MB of zeros": Case(PARQUET, lambda: zero_page(12_000_000), "it has a page of"),
    "parquet: 8,000,000 rows in some kilobytes": Case(
        PARQUET, lambda: parquet({"a": np.zeros(8_000_000, np.bool_)}, row_group_size=1 << 20), 8_000_000
    ),
    "parquet: 30,000,000 rows in some kilobytes": Case(
        PARQUET,
        lambda: parquet({"a": np.zeros(30_000_000, np.int8)}, row_group_size=1 << 20),
        "out of proportion",
    ),
    "parquet: a text of 1 MB repeated 10,000 times": Case(
        PARQUET, lambda: repeated(1 << 20, 10_000), "out of proportion"
    ),
    "parquet: a text of 10 kB repeated 1,000,000 times": Case(
        PARQUET, lambda: repeated(10_000, 1_000_000), "out of proportion"
    ),
    "parquet: 400 MB of text, packed": Case(PARQUET, zero_texts, "out of proportion"),
    "parquet: texts that repeat what stands before": Case(
        PARQUET,
        lambda: parquet(
            {"a": ["x" * 9999] * 999}, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"}
        ),
        "the encoding DELTA_BYTE_ARRAY is not read",
    ),
    "parquet: a list of 10,000,000 zeros": Case(
        PARQUET, lambda: parquet({"a": pa.array([np.zeros(10_000_000, np.int8)])}), "values in lists"
    ),
    "parquet: 20,000 columns": Case(
        PARQUET, lambda: named(*(f"c{i}" for i in range(20_000))), "20000 columns are too many"
    ),
    "parquet: 50 levels deep": Case(PARQUET, lambda: deep(50), "column 'x' holds struct"),
    "parquet: equal names": Case(PARQUET, lambda: named("a", "a"), "two columns are named 'a'"),
    "parquet: an empty name": Case(PARQUET, lambda: named("a", ""), "column 2 has no name"),
    "parquet: a name with NUL": Case(PARQUET, lambda: named("a\0b"), "holds what is no text"),
    "parquet: binary": Case(PARQUET, lambda: parquet({"a": [pickled()]}), "column 'a' holds binary"),
    "parquet: times beyond all years": Case(
        PARQUET, lambda: parquet({"a": pa.array([2**62], pa.timestamp("us"))}), "beyond the years 1 to 9999"
    ),
    "parquet: infinity": Case(PARQUET, lambda: parquet({"a": [1.0, np.inf]}), "row 2, column 'a'"),
    "parquet: text that is no text": Case(
        PARQUET, lambda: sound().replace(b"v500", b"\xff\xfe\xfd\xfc"), "UTF8"
    ),
    "parquet: no rows": Case(PARQUET, lambda: parquet({"a": pa.array([], pa.int64())}), "has no rows"),
    "parquet: a pickle": Case(PARQUET, pickled, NOT),
    "parquet: an array of objects": Case(PARQUET, object_array, NOT),
    "parquet: a pickle within its marks": Case(
        PARQUET, lambda: b"PAR1" + pickled() + struct.pack("<I", len(pickled())) + b"PAR1", ""
    ),
    **{
        f"parquet: flipped bits, {i}": Case(PARQUET, lambda i=i: flipped(sound(), i, 1 + i % 3), None)  # type: ignore[misc]
        for i in range(10)
    },
    **{
        f"parquet: flipped bits of the footer, {i}": Case(
            PARQUET,
            lambda i=i: flipped(sound()[:-8], i, 1 + i % 3, len(sound()) - 500) + sound()[-8:],  # type: ignore[misc]
            None,
        )
        for i in range(10)
    },
}
