"""The params that the text networks have beside those of every network."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headrace.specs.algorithms import Params
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
        "training texts whole, 256 at most.",
    ),
]
Embedding = Annotated[int, Field(ge=1, le=4096, description="Values that each token becomes.")]


class TextParams(NetworkParams):
    """Params of every text network."""

    epochs: Epochs = 10
    vocabulary: Vocabulary = 10_000
    length: Length = None
    embedding: Embedding = 64
    dropout: Dropout = 0.5
    early_stopping: EarlyStopping = 2


class TextNetwork(Network):
    """A network on the token numbers of one column."""

    params_class = TextParams

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return the vocabulary and the length asked for."""
        assert isinstance(params, TextParams)
        return Encoding(text=TextEncoding(params.vocabulary, params.length, padding="right"))
