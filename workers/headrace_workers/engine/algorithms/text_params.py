"""The params that the text networks have beside those of every network."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Params
from headrace.specs.base import ColumnType
from headrace_workers.engine.algorithms.base import Encoding, TextEncoding
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.algorithms.params import Dropout, EarlyStopping, Epochs, NetworkParams

Vocabulary = Annotated[
    int,
    Field(
        ge=3,
        le=200_000,
        description="How many token numbers there are at most: the most frequent tokens of training rows, "
        "one for padding, one for unknown tokens.",
    ),
]
Length = Annotated[
    int | None,
    Field(
        ge=1,
        le=4096,
        description="Tokens of a text that are read, from its beginning; null: enough for 99 % of the "
        "training texts whole, 256 at most. Of a sequence, values that are read, up to its end; null: as of "
        "texts, 512 at most.",
    ),
]
Embedding = Annotated[int, Field(ge=1, le=4096, description="Values that each token becomes.")]
Hidden = Annotated[
    list[Annotated[int, Field(ge=1, le=65_536)]],
    Field(
        max_length=32,
        description="Units of each dense layer between the columns that are no text, where there are any, "
        "and the output.",
    ),
]

TABLE: tuple[ColumnType, ...] = ("number", "integer", "boolean", "category", "timestamp")
"""What the text networks take beside text."""


class TextParams(NetworkParams):
    """Params of every text network."""

    encoding = ("vocabulary", "length")

    epochs: Epochs = 10
    vocabulary: Vocabulary = 10_000
    length: Length = None
    embedding: Embedding = 64
    hidden: Hidden = [32]
    dropout: Dropout = 0.5
    early_stopping: EarlyStopping = 2


class TextNetwork(Network):
    """A network on token numbers: one part for each column of text, dense layers for all other columns.

    What the parts give stands side by side before the output.
    """

    params_class = TextParams
    params: TextParams

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return the vocabulary and the length asked for."""
        assert isinstance(params, TextParams)
        return Encoding(text=TextEncoding(params.vocabulary, params.length, padding="right"))

    @abstractmethod
    def read(self, tokens: Any, suffix: str) -> Any:
        """Return what becomes of one column's ``tokens``; ``suffix`` ends the names of its layers."""

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return all parts side by side."""
        from keras import layers

        parts = [
            self.read(tensor, name.removeprefix("text") if name.startswith("text") else f"_{name}")
            for name, tensor in inputs.items()
            if name != "table"
        ]
        if "table" in inputs:
            x = inputs["table"]
            for i, units in enumerate(self.params.hidden, 1):
                x = self.hidden(layers.Dense, f"table_{i}", units)(x)
            parts.append(x)
        return layers.Concatenate(name="beside")(parts) if len(parts) > 1 else parts[0]
