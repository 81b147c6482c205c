"""All columns of a model, encoded: the same code in training, batch and online prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from headrace.errors import BadData, BadSpec
from headrace.specs.base import ColumnType
from headrace_workers.engine.algorithms.base import Arrays, Encoding, TensorSpec
from headrace_workers.engine.data.audio import AudioEncoder, AudioFitting
from headrace_workers.engine.data.encoders import (
    CategoryEncoder,
    CategoryFitting,
    NumberEncoder,
    NumberFitting,
    TimestampEncoder,
    TimestampFitting,
)
from headrace_workers.engine.data.images import ImageEncoder, ImageFitting
from headrace_workers.engine.data.reader import BATCH_ROWS
from headrace_workers.engine.data.sequences import PADDING, SequenceEncoder, SequenceFitting
from headrace_workers.engine.data.text import TextEncoder, TextFitting

TABLE, TEXT, SEQUENCE = "table", "text", "sequence"
IMAGE, SPECTROGRAM = ImageEncoder.input, AudioEncoder.input
"""The inputs that columns become: all numbers of a row in one vector, a text's tokens, lists of numbers side
by side, shape (length of the longest, columns), an image, or the spectrogram of a sound.

A second column of text is the input ``text_2``, and so on, in the order of the features.
"""

BATCH_BYTES = 32 * 1024**2

AnyEncoder = Annotated[
    NumberEncoder
    | CategoryEncoder
    | TimestampEncoder
    | ImageEncoder
    | AudioEncoder
    | TextEncoder
    | SequenceEncoder,
    Field(discriminator="kind"),
]


@dataclass(frozen=True)
class Encoded:
    """The inputs of a batch, and the rows (from 0) whose inputs are zeros, with the reason."""

    inputs: Arrays
    problems: dict[int, str]


class Preprocessing(BaseModel):
    """Fitted encoders, in the order of the features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoders: list[AnyEncoder]

    @property
    def columns(self) -> list[str]:
        """The features' names."""
        return [encoder.column for encoder in self.encoders]

    @property
    def signature(self) -> list[dict[str, Any]]:
        """The columns that `encode` needs, each with ``name`` and ``type``."""
        return [{"name": encoder.column, "type": encoder.type} for encoder in self.encoders]

    @property
    def inputs(self) -> dict[str, TensorSpec]:
        """What `encode` returns for each row."""
        specs: dict[str, TensorSpec] = {}
        width = 0
        levels: list[int] = []
        lengths: list[int] = []
        for encoder in self.encoders:
            if isinstance(encoder, ImageEncoder | AudioEncoder):
                specs[encoder.input] = TensorSpec(encoder.shape, "uint8")
            elif isinstance(encoder, TextEncoder):
                specs[_text_input(specs)] = TensorSpec(encoder.shape, "int32", (encoder.numbers,))
            elif isinstance(encoder, SequenceEncoder):
                lengths += [encoder.length]
                specs[SEQUENCE] = TensorSpec((max(lengths), len(lengths)), "float32")
            else:
                width += encoder.width
                if isinstance(encoder, CategoryEncoder) and not encoder.one_hot:
                    levels += [encoder.codes]
                else:
                    levels += [0] * encoder.width
                specs[TABLE] = TensorSpec((width,), "float32", tuple(levels) if any(levels) else ())
        return specs

    @property
    def places(self) -> list[tuple[str, slice]]:
        """Where in the inputs the values of each column stand: an input, and a part of its last axis."""
        found: list[tuple[str, slice]] = []
        start = sequences = texts = 0
        for encoder in self.encoders:
            if isinstance(encoder, ImageEncoder | AudioEncoder):
                found.append((encoder.input, slice(None)))
            elif isinstance(encoder, TextEncoder):
                texts += 1
                found.append((_text_name(texts), slice(None)))
            elif isinstance(encoder, SequenceEncoder):
                found.append((SEQUENCE, slice(sequences, sequences + 1)))
                sequences += 1
            else:
                found.append((TABLE, slice(start, start + encoder.width)))
                start += encoder.width
        return found

    @property
    def batch_rows(self) -> int:
        """How many rows to encode at once, so that what they become stays small."""
        row = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in self.inputs.values())
        return max(min(BATCH_BYTES // max(row, 1), BATCH_ROWS), 1)

    def check(self, schema: pa.Schema) -> None:
        """Raise `BadData` that names every column which ``schema`` lacks or has with another type."""
        check_columns(schema, [(column["name"], column["type"]) for column in self.signature])

    def learned(self) -> Arrays:
        """Return what predictions depend on besides the fitted encoders and the learner: nothing."""
        return {}

    def save(self, folder: Path) -> None:
        """Write what is not in the JSON of this object, of which there is nothing, below ``folder``."""

    def encode(self, batch: pa.RecordBatch | pa.Table) -> Encoded:
        """Return the inputs of ``batch``, whose columns `check` has passed."""
        inputs: Arrays = {}
        problems: dict[int, str] = {}
        specs = self.inputs
        if TABLE in specs:
            table = inputs[TABLE] = np.empty((batch.num_rows, *specs[TABLE].shape), np.float32)
        if SEQUENCE in specs:
            inputs[SEQUENCE] = np.full((batch.num_rows, *specs[SEQUENCE].shape), PADDING, np.float32)
        start = sequences = 0
        for encoder in self.encoders:
            values = _whole(batch.column(encoder.column))
            if isinstance(encoder, ImageEncoder | AudioEncoder):
                inputs[encoder.input], problems = encoder.encode(values)
            elif isinstance(encoder, TextEncoder):
                inputs[_text_input(inputs)] = encoder.encode(values)
            elif isinstance(encoder, SequenceEncoder):
                encoder.encode(values, inputs[SEQUENCE][:, :, sequences])
                sequences += 1
            else:
                encoder.encode(values, table[:, start : start + encoder.width])
                start += encoder.width
        return Encoded(inputs, problems)


def _text_input(there: Mapping[str, Any]) -> str:
    """Return the name of the next input of text, where those of ``there`` have one."""
    return _text_name(sum(name.startswith(TEXT) for name in there) + 1)


def _text_name(number: int) -> str:
    return TEXT if number == 1 else f"{TEXT}_{number}"


def check_columns(schema: pa.Schema, wanted: Iterable[tuple[str, ColumnType]]) -> None:
    """Raise `BadData` that names every ``wanted`` column which ``schema`` lacks or has with another type."""
    wrong = []
    for name, kind in wanted:
        if name not in schema.names:
            wrong.append(f"column {name!r} is missing")
        elif not _fits(schema.field(name).type, kind):
            found = schema.field(name).type
            wrong.append(f"column {name!r} holds {found}, the model learned from {kind}")
    if wrong:
        more = f"; and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise BadData(f"The data does not fit the model: {'; '.join(wrong[:20])}{more}.")


def fit(
    batches: Iterable[pa.RecordBatch],
    features: Sequence[str],
    types: dict[str, ColumnType],
    encoding: Encoding,
    also: Callable[[pa.RecordBatch], None],
) -> Preprocessing:
    """Return encoders fitted on ``batches`` of training rows; each batch is also given to ``also``.

    Raises `BadSpec` for a feature of a type that has no encoder, `BadData` for one without any value.
    """
    fittings = [_fitting(name, types[name], encoding) for name in features]
    for batch in batches:
        for fitting in fittings:
            fitting.add(batch.column(fitting.column))
        also(batch)
    return Preprocessing(encoders=[fitting.encoder() for fitting in fittings])


def _fitting(name: str, type: ColumnType, encoding: Encoding) -> Any:
    if type in ("number", "integer", "boolean"):
        return NumberFitting(name, type, nan=encoding.missing == "nan")
    if type == "category":
        return CategoryFitting(name, type, one_hot=encoding.categories == "one_hot")
    if type == "timestamp":
        return TimestampFitting(name, type, nan=encoding.missing == "nan")
    if type == "image":
        return ImageFitting(name, encoding.image_size, encoding.channels)
    if type == "audio":
        return AudioFitting(name, encoding.image_size)
    if type == "text" and encoding.text is not None:
        return TextFitting(name, encoding.text)
    if type == "sequence" and encoding.sequence is not None:
        return SequenceFitting(name, encoding.sequence)
    raise BadSpec(f"features: column {name!r} is {type}, which this algorithm does not take.")


def _fits(found: pa.DataType, wanted: ColumnType) -> bool:
    if pa.types.is_null(found):
        return True
    if wanted in ("number", "integer"):
        return bool(pa.types.is_integer(found) or pa.types.is_floating(found))
    tests: dict[str, Callable[[pa.DataType], bool]] = {
        "boolean": pa.types.is_boolean,
        "timestamp": pa.types.is_timestamp,
        "image": pa.types.is_binary,
        "audio": pa.types.is_large_binary,
        "category": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or _is_plain(t),
        "text": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t),
        "sequence": _is_sequence,
    }
    return tests[wanted](found)


def _is_plain(found: pa.DataType) -> bool:
    """Say whether ``found`` are values that can be levels, though they are no strings."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return any(test(found) for test in tests)


def _is_sequence(found: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(test(found) for test in tests):
        return False
    inner = found.value_type
    return bool(pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_null(inner))


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
