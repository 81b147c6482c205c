"""A recurrent network for text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.text_params import TABLE, TextNetwork, TextParams


class LstmParams(TextParams):
    """Params of `lstm`."""

    cell: Annotated[Literal["lstm", "gru"], Field(description="Which recurrent cell.")] = "lstm"
    units: Annotated[int, Field(ge=1, le=4096, description="Units of each recurrent layer.")] = 64
    layers: Annotated[int, Field(ge=1, le=8, description="Recurrent layers, one on the other.")] = 1
    bidirectional: Annotated[bool, Field(description="Read the text from both ends.")] = True


class Lstm(TextNetwork):
    """An embedding and recurrent layers, with dropout behind each; padding is masked."""

    params_class = LstmParams
    params: LstmParams

    def read(self, tokens: Any, suffix: str) -> Any:
        """Return the last recurrent layer's last output."""
        from keras import layers

        p = self.params
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
    summary="Text, and columns beside it, to classes, by LSTM or GRU; rows need not fit in memory.",
    source="Hochreiter, Schmidhuber 1997, Long short-term memory; Cho et al. 2014 for GRU",
    tasks=("classification",),
    features=("text", *TABLE),
    needs=("text",),
    params=LstmParams,
    code="headrace_workers.engine.algorithms.lstm:Lstm",
    gradients=True,
    streams=True,
    bases=("lstm",),
    trial={"embedding": 16, "units": 16, "epochs": 12, "learning_rate": 0.02},
)
