"""Which rows are for training, validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import learning
from headrace.errors import BadSpec
from headrace.specs.jobs import Split
from headrace_workers.engine.data.hashing import hash_rows
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.data.split import TEST, TRAINING, VALIDATION, counts, divide

ROWS = 2000
GOLDEN = [14242267064451781550, 14583897274002585379, 15389949871328179879]


def _columns(rows: int = ROWS) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "x": ("number", rng.normal(size=rows)),
        "c": ("category", [f"c{i % 7}" for i in range(rows)]),
        "when": ("timestamp", rng.permutation(rows) * 1_000_000),
        "part": ("category", ["test" if i < 5 else "validation" if i < 9 else "train" for i in range(rows)]),
        "target": ("integer", rng.integers(0, 2, rows)),
    }


def _divide(folder: Path, columns: dict[str, Any], **split: Any) -> np.ndarray[Any, Any]:
    data = learning.write(folder, columns)
    return divide(Reader(data.path, data.columns), Split(**split), ["x", "c"], "target")


def test_a_row_keeps_its_side_when_others_come_and_columns_move(tmp_path: Path) -> None:
    columns = _columns()
    parts = _divide(tmp_path / "a", columns)
    found = counts(parts)
    assert 140 < found["test"] < 260
    assert 140 < found["validation"] < 260
    more = {n: (t, np.concatenate([v[ROWS // 2 :], v])) for n, (t, v) in reversed(columns.items())}
    again = _divide(tmp_path / "b", more)
    assert (again[ROWS // 2 :] == parts).all()
    assert (again[: ROWS // 2] == parts[ROWS // 2 :]).all()
    other = _divide(tmp_path / "c", columns, seed=1)
    assert (other != parts).any()


def test_integers_that_become_numbers_keep_their_hashes() -> None:
    integers = pa.array([0, 1, -5, None, 2**40])
    hashes = [hash_rows(pa.record_batch({"a": a}), ["a"]) for a in (integers, integers.cast(pa.float64()))]
    assert (hashes[0] == hashes[1]).all()


def test_hashes_are_those_of_every_earlier_release() -> None:
    batch = pa.record_batch(
        {
            "number": pa.array([1.5, -0.0, None]),
            "word": pa.array(["a", "", None]),
            "flag": pa.array([True, False, None]),
            "time": pa.array([0, 1, None], pa.timestamp("us", "UTC")),
            "image": pa.array([b"\x00", b"", None]),
        }
    )
    assert hash_rows(batch, batch.schema.names).tolist() == GOLDEN


def test_random_gives_exact_fractions(tmp_path: Path) -> None:
    parts = _divide(tmp_path, _columns(), by="random", validation=0.25, test=0.1)
    assert counts(parts) == {"left_out": 0, "train": 1300, "validation": 500, "test": 200}


def test_the_latest_rows_are_the_test(tmp_path: Path) -> None:
    columns = _columns()
    parts = _divide(tmp_path, columns, by="time:when", validation=0.1, test=0.2)
    when = columns["when"][1]
    assert counts(parts)["test"] == 400
    assert counts(parts)["validation"] == 200
    assert when[parts == TRAINING].max() < when[parts == VALIDATION].min()
    assert when[parts == VALIDATION].max() < when[parts == TEST].min()


def test_a_column_says_the_part(tmp_path: Path) -> None:
    parts = _divide(tmp_path, _columns(), by="column:part")
    assert parts[:9].tolist() == [TEST] * 5 + [VALIDATION] * 4
    assert (parts[9:] == TRAINING).all()


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ({"by": "column:c"}, "'c0' in row 1"),
        ({"by": "column:nothing"}, "no column 'nothing'"),
        ({"by": "time:c"}, "column 'c' is category"),
        ({"validation": 0.0001}, "no row is left for validation"),
    ],
)
def test_what_cannot_be_split_is_refused(tmp_path: Path, split: dict[str, Any], says: str) -> None:
    with pytest.raises(BadSpec) as raised:
        _divide(tmp_path, _columns(300), **split)
    assert says in raised.value.detail
