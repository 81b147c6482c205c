"""A recurrent network for text and for sequences of numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Encoding, SequenceEncoding
from headrace_workers.engine.algorithms.text_params import TABLE, TextNetwork, TextParams


class LstmParams(TextParams):
    """Params of `lstm`."""

    cell: Annotated[Literal["lstm", "gru"], Field(description="Which recurrent cell.")] = "lstm"
    units: Annotated[int, Field(ge=1, le=4096, description="Units of each recurrent layer.")] = 64
    layers: Annotated[int, Field(ge=1, le=8, description="Recurrent layers, one on the other.")] = 1
    bidirectional: Annotated[bool, Field(description="Read from both ends.")] = True


class Lstm(TextNetwork):
    """Recurrent layers, of a text behind an embedding, with dropout behind each; padding is masked."""

    params_class = LstmParams
    params: LstmParams

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return how text and sequences are to be encoded: short ones filled up on the right."""
        assert isinstance(params, LstmParams)
        return replace(super().encoding(params), sequence=SequenceEncoding(params.length, padding="right"))

    def read(self, tokens: Any, suffix: str) -> Any:
        """Return the last recurrent layer's last output."""
        from keras import layers

        p = self.params
        if suffix == "_sequence":
            x = layers.Masking(name="masking")(tokens)
        else:
            x = layers.Embedding(p.vocabulary, p.embedding, mask_zero=True, name=f"embedding{suffix}")(tokens)
            if p.dropout:
                x = layers.Dropout(p.dropout, name=f"dropout_0{suffix}")(x)
        cell = {"lstm": layers.LSTM, "gru": layers.GRU}[p.cell]
        for i in range(1, p.layers + 1):
            layer = cell(
                p.units, return_sequences=i < p.layers, name=f"{p.cell}_{i}{suffix}", **self.kernel()
            )
            if p.bidirectional:
                layer = layers.Bidirectional(layer, name=f"bidirectional_{i}{suffix}")
            x = layer(x)
            if p.dropout:
                x = layers.Dropout(p.dropout, name=f"dropout_{i}{suffix}")(x)
        return x


ALGORITHM = Algorithm(
    name="lstm",
    title="Recurrent network",
    summary="Text or sequences of numbers, and columns beside them, to classes or a number, by LSTM or GRU; "
    "rows need not fit in memory.",
    source="Hochreiter, Schmidhuber 1997, Long short-term memory; Cho et al. 2014 for GRU",
    tasks=("classification", "regression"),
    features=("text", "sequence", *TABLE),
    needs=("text", "sequence"),
    params=LstmParams,
    code="headrace_workers.engine.algorithms.lstm:Lstm",
    gradients=True,
    streams=True,
    bases=("lstm",),
    trial={"embedding": 16, "units": 16, "epochs": 12, "learning_rate": 0.02},
)
