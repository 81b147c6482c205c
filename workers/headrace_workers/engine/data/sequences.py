"""Lists of numbers as rows of one length: standardised on training rows, filled up, the latest values kept.

What is filled up is exactly 0, and no value is: one that would be is moved by `NUDGE`, so that Keras' Masking
layer sees where a sequence begins and ends.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from headrace.errors import BadData
from headrace_workers.engine.algorithms.base import SequenceEncoding
from headrace_workers.engine.data.encoders import MAX_DEVIATIONS, Moments, to_floats

PADDING = 0.0
NUDGE = 1e-6

COVERED = 0.99
"""The fraction of training sequences that fit into a row whole, where the length is left to decide."""


class SequenceEncoder(BaseModel):
    """Standardised values, shape (length,), float32; a value that is no finite number is as the mean.

    Of a longer sequence the last ``length`` values are read; ``cut`` is the fraction of training sequences
    that were longer. A missing sequence is as an empty one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["sequence"] = "sequence"
    column: str
    type: Literal["sequence"] = "sequence"
    mean: float
    scale: float
    length: int
    padding: Literal["left", "right"]
    cut: float

    def encode(self, values: pa.Array, out: NDArray[np.float32]) -> None:
        """Write the encoded ``values`` into ``out``, shape (n, length) or longer, full of `PADDING`."""
        lengths = _lengths(values)
        kept = np.minimum(lengths, self.length)
        numbers = to_floats(values.flatten())
        with np.errstate(over="ignore"):
            deviations = np.clip((numbers - self.mean) / self.scale, -MAX_DEVIATIONS, MAX_DEVIATIONS)
        shown = np.nan_to_num(deviations, nan=0.0).astype(np.float32)
        shown[np.abs(shown) < NUDGE] = NUDGE
        rows = np.repeat(np.arange(len(lengths)), lengths)
        # From the end: the last value of each sequence is at 1.
        back = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(shown))
        read = back <= self.length
        ends = np.full(len(lengths), out.shape[1]) if self.padding == "left" else kept
        out[rows[read], (ends[rows] - back)[read]] = shown[read]


class SequenceFitting:
    """Mean and deviation of all values, and counts of sequences by length, in bounded memory."""

    def __init__(self, column: str, encoding: SequenceEncoding) -> None:
        self.column = column
        self._encoding = encoding
        self._moments = Moments()
        self._lengths = np.zeros((encoding.length or encoding.max_length) + 2, np.int64)

    def add(self, values: pa.Array) -> None:
        """Take note of more values."""
        numbers = to_floats(values.flatten())
        self._moments.add(numbers[~np.isnan(numbers)])
        lengths = np.minimum(_lengths(values), len(self._lengths) - 1)
        self._lengths += np.bincount(lengths, minlength=len(self._lengths))

    def encoder(self) -> SequenceEncoder:
        """Return the fitted encoder, and tell the log what it is. Raises `BadData` when there is no value."""
        if not self._lengths[1:].sum():
            raise BadData(f"Column {self.column!r} has no value among the training rows.")
        mean, scale = self._moments.mean_and_scale(self.column)
        length = self._encoding.length or self._covering()
        encoder = SequenceEncoder(
            column=self.column,
            mean=mean,
            scale=scale,
            length=length,
            padding=self._encoding.padding,
            cut=float(self._lengths[length + 1 :].sum() / self._lengths.sum()),
        )
        print(
            f"column {self.column!r}: a sequence is {length} values, {encoder.cut:.1%} of the training "
            "sequences are longer, of which the last are read",
            flush=True,
        )
        return encoder

    def _covering(self) -> int:
        share = np.cumsum(self._lengths) / self._lengths.sum()
        covering = int(np.searchsorted(share, COVERED))
        return min(max(covering, 1), self._encoding.max_length)


def _lengths(values: pa.Array) -> NDArray[np.int64]:
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, np.int64)
