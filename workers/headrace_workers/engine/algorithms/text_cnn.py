"""A convolutional network for text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.text_params import Embedding, TextNetwork, TextParams


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

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return what the filters found."""
        from keras import layers

        p = self.params
        x = layers.Embedding(p.vocabulary, p.embedding, name="embedding")(inputs["text"])
        found = []
        for i, width in enumerate(p.widths, 1):
            convolution = layers.Conv1D(
                p.filters, width, padding="same", activation="relu", name=f"conv_{i}", **self.kernel()
            )
            found.append(layers.GlobalMaxPooling1D(name=f"pool_{i}")(convolution(x)))
        x = layers.Concatenate(name="concatenate")(found) if len(found) > 1 else found[0]
        return layers.Dropout(p.dropout, name="dropout")(x) if p.dropout else x


ALGORITHM = Algorithm(
    name="text_cnn",
    title="Convolutional network for text",
    summary="One column of text to classes, by short runs of tokens; rows need not fit in memory.",
    source="Kim 2014, Convolutional neural networks for sentence classification",
    tasks=("classification",),
    features=("text",),
    params=TextCnnParams,
    code="headrace_workers.engine.algorithms.text_cnn:TextCnn",
    gradients=True,
    single_feature=True,
    streams=True,
    trial={"embedding": 16, "filters": 16, "epochs": 12, "learning_rate": 0.01},
)
