"""A 64-bit hash of each row's content, the same on every machine and in every later version of a dataset.

Numbers are hashed as floats, so that a column of integers which later holds a fraction keeps its hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MISSING = np.uint64(0x9E3779B97F4A7C15)

UInt64s = NDArray[np.uint64]


def hash_rows(batch: pa.RecordBatch, names: Sequence[str]) -> UInt64s:
    """Return the hash of each row over the columns ``names``, in whatever order they stand."""
    total = np.zeros(batch.num_rows, np.uint64)
    for name in sorted(names):
        total = mix(total ^ _hash_values(batch.column(name)))
    return total


def mix(values: UInt64s) -> UInt64s:
    """Return the finalizer of SplitMix64 (Steele, Lea, Flood 2014) of ``values``."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _hash_values(values: pa.Array) -> UInt64s:
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        hashed = _hash_numbers(values)
    elif pa.types.is_timestamp(kind):
        micros = (
            pc.cast(values, pa.int64(), safe=False)
            if kind.unit == "us"
            else pc.cast(pc.cast(values, pa.timestamp("us", kind.tz), safe=False), pa.int64())
        )
        hashed = mix(pc.fill_null(micros, 0).to_numpy(zero_copy_only=False).view(np.uint64))
    elif pa.types.is_list(kind):
        hashed = _hash_lists(values)
    else:
        hashed = _hash_bytes(values)
    missing = values.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, MISSING, hashed)


def _hash_numbers(values: pa.Array) -> UInt64s:
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.uint8())
    numbers = pc.fill_null(pc.cast(values, pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
    # Adding zero makes -0.0 equal to 0.0, whose bits differ.
    bits = np.where(np.isnan(numbers), np.nan, numbers + 0.0).view(np.uint64)
    return mix(bits)


def _hash_lists(values: pa.ListArray) -> UInt64s:
    """Return, of lists of numbers, the sum of the hashes of number and place, hashed with the length."""
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.repeat(np.cumsum(lengths), lengths)
    place = (np.arange(len(rows)) - ends + lengths[rows]).astype(np.uint64)
    total = np.zeros(len(lengths), np.uint64)
    np.add.at(total, rows, mix(_hash_numbers(values.flatten()) ^ mix(place)))
    return mix(total ^ lengths.astype(np.uint64))


def _hash_bytes(values: pa.Array) -> UInt64s:
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    distinct = (value.as_py() for value in values.dictionary)
    digests = b"".join(_digest(value.encode() if isinstance(value, str) else value) for value in distinct)
    table = np.frombuffer(digests + bytes(8), "<u8").astype(np.uint64)
    hashed: UInt64s = table[pc.fill_null(values.indices, 0).to_numpy(zero_copy_only=False)]
    return hashed


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=8).digest()
