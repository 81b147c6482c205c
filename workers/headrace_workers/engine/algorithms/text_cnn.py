"""A convolutional network for text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.text_params import TABLE, Embedding, TextNetwork, TextParams


class TextCnnParams(TextParams):
    """Params of `text_cnn`."""

    embedding: Embedding = 128
    filters: Annotated[int, Field(ge=1, le=4096, description="Filters of each width.")] = 100
    widths: Annotated[
        list[Annotated[int, Field(ge=1, le=64)]],
        Field(min_length=1, max_length=16, description="How many tokens in a row each kind of filter sees."),
    ] = [3, 4, 5]


class TextCnn(TextNetwork):
    """Filters of several widths side by side, the strongest answer of each, dropout."""

    params_class = TextCnnParams
    params: TextCnnParams

    def read(self, tokens: Any, suffix: str) -> Any:
        """Return what the filters found."""
        from keras import layers

        p = self.params
        x = layers.Embedding(p.vocabulary, p.embedding, name=f"embedding{suffix}")(tokens)
        found = []
        for i, width in enumerate(p.widths, 1):
            convolution = layers.Conv1D(
                p.filters, width, padding="same", activation="relu", name=f"conv_{i}{suffix}", **self.kernel()
            )
            found.append(layers.GlobalMaxPooling1D(name=f"pool_{i}{suffix}")(convolution(x)))
        x = layers.Concatenate(name=f"concatenate{suffix}")(found) if len(found) > 1 else found[0]
        return layers.Dropout(p.dropout, name=f"dropout{suffix}")(x) if p.dropout else x


ALGORITHM = Algorithm(
    name="text_cnn",
    title="Convolutional network for text",
    summary="Text, and columns beside it, to classes, by short runs of tokens; rows need not fit in memory.",
    source="Kim 2014, Convolutional neural networks for sentence classification",
    tasks=("classification",),
    features=("text", *TABLE),
    needs=("text",),
    params=TextCnnParams,
    code="headrace_workers.engine.algorithms.text_cnn:TextCnn",
    gradients=True,
    streams=True,
    bases=("text_cnn",),
    trial={"embedding": 16, "filters": 16, "epochs": 12, "learning_rate": 0.01},
)
