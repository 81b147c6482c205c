"""Which rows are for training, which for validation, which for the test.

The result takes one byte per row of the dataset, the only thing in a training whose memory grows with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.errors import BadSpec
from headrace.specs.jobs import Split
from headrace_workers.engine.data.hashing import hash_rows, mix
from headrace_workers.engine.data.reader import Reader

LEFT_OUT, TRAINING, VALIDATION, TEST = range(4)
"""Parts of a dataset; a row is left out when it has no target or no time to split by."""

NAMES = ("left_out", "train", "validation", "test")
SPLIT_STREAM = 1

Parts = NDArray[np.uint8]


def divide(
    reader: Reader,
    split: Split,
    features: Sequence[str],
    target: str | None,
    hashed: Sequence[str] | None = None,
) -> Parts:
    """Return the part of each row; rows without a ``target``, where there is one, are left out.

    ``hashed``: the columns by whose content ``hash`` divides; None: features and target.

    Raises `BadSpec` when a part that was asked for is empty.
    """
    if split.column is not None:
        reader.require([split.column], "split.by")
    if split.by == "hash":
        every = [*features, *([] if target is None else [target])]
        parts = _by_hash(reader, split, every if hashed is None else hashed)
    elif split.by == "random":
        parts = _by_position(reader, split)
    elif split.by.startswith("time:"):
        parts = _by_time(reader, split, split.column or "")
    else:
        parts = _by_column(reader, split.column or "")
    if target is not None:
        parts[~_has_value(reader, target)] = LEFT_OUT
    _check(parts, split, target)
    return parts


def counts(parts: Parts) -> dict[str, int]:
    """Return the number of rows of each part by name."""
    found = np.bincount(parts, minlength=len(NAMES))
    return {name: int(count) for name, count in zip(NAMES, found, strict=True)}


def _by_fraction(position: NDArray[np.floating], split: Split) -> Parts:
    """Return parts by a number from 0 to 1 per row: the test at the low end, so that it is a row's lot to be
    tested also when the validation rows grow."""
    parts = np.full(len(position), TRAINING, np.uint8)
    parts[position < split.test + split.validation] = VALIDATION
    parts[position < split.test] = TEST
    return parts


def _by_hash(reader: Reader, split: Split, names: Sequence[str]) -> Parts:
    salt = mix(np.array([split.seed], np.uint64))
    parts = [np.zeros(0, np.uint8)]
    for _, batch in reader.batches(names):
        hashes = mix(hash_rows(batch, list(dict.fromkeys(names))) ^ salt)
        parts.append(_by_fraction((hashes >> np.uint64(11)) * 2.0**-53, split))
    return np.concatenate(parts)


def _by_position(reader: Reader, split: Split) -> Parts:
    rows = reader.rows
    order = np.random.default_rng([split.seed, SPLIT_STREAM]).permutation(rows)
    # The midpoints of equal steps: exact fractions, and no row on a border.
    return _by_fraction((order + 0.5) / max(rows, 1), split)


def _by_time(reader: Reader, split: Split, column: str) -> Parts:
    if reader.types[column] not in ("timestamp", "number", "integer"):
        raise BadSpec(
            f"split.by: column {column!r} is {reader.types[column]}; a time or a number can order rows."
        )
    times = np.concatenate([np.zeros(0), *(_as_floats(b.column(0)) for _, b in reader.batches([column]))])
    known = ~np.isnan(times)
    parts = np.full(len(times), LEFT_OUT, np.uint8)
    parts[known] = TRAINING
    ordered = np.sort(times[known])
    for part, fraction in ((VALIDATION, split.validation + split.test), (TEST, split.test)):
        count = round(len(ordered) * fraction)
        if count:
            # Rows of one instant stay together, on the later side.
            parts[times >= ordered[-count]] = part
    return parts


def _by_column(reader: Reader, column: str) -> Parts:
    parts = [np.zeros(0, np.uint8)]
    known = pa.array(NAMES[TRAINING:])
    for start, batch in reader.batches([column]):
        values = (
            pc.cast(batch.column(0), pa.string()) if reader.types[column] not in ("image", "audio") else None
        )
        found = None if values is None else pc.index_in(values, known)
        if found is None or found.null_count:
            row = 0 if found is None else found.is_null().index(True).as_py()
            shown = f"{reader.types[column]} data" if values is None else repr(values[row].as_py())
            raise BadSpec(
                f"split.by: column {column!r} has {shown[:100]} in row {start + row + 1}; "
                "it should say train, validation or test in every row."
            )
        parts.append(found.to_numpy(zero_copy_only=False).astype(np.uint8) + np.uint8(TRAINING))
    return np.concatenate(parts)


def _has_value(reader: Reader, target: str) -> NDArray[np.bool_]:
    found = [np.zeros(0, np.bool_)]
    for _, batch in reader.batches([target]):
        values = batch.column(0)
        valid = values.is_valid()
        if pa.types.is_floating(values.type):
            valid = pc.and_(valid, pc.fill_null(pc.is_finite(values), False))
        found.append(valid.to_numpy(zero_copy_only=False))
    return np.concatenate(found)


def _as_floats(values: pa.Array) -> NDArray[np.float64]:
    if pa.types.is_timestamp(values.type):
        values = pc.cast(values, pa.int64(), safe=False)
    floats: NDArray[np.float64] = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return floats


def _check(parts: Parts, split: Split, target: str | None) -> None:
    found = counts(parts)
    lacking = "" if target is None else f"have no value in {target!r} or "
    asked = {"train": 1.0, "validation": split.validation, "test": split.test}
    for name, fraction in asked.items():
        if fraction and not found[name]:
            raise BadSpec(
                f"split: no row is left for {name}: of {len(parts)} rows, {found['left_out']} {lacking}"
                "cannot be ordered, the others went to "
                f"{', '.join(f'{n} ({found[n]})' for n in asked if found[n]) or 'nothing'}. "
                f"More rows, another fraction, or by: random would help"
                + ("." if name == "train" else f"; split.{name}: 0 goes without.")
            )
