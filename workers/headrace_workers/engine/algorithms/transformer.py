"""A small transformer encoder for text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.params import Dropout
from headrace_workers.engine.algorithms.text_params import TABLE, TextNetwork, TextParams


class TransformerParams(TextParams):
    """Params of `transformer`."""

    dropout: Dropout = 0.3
    units: Annotated[int, Field(ge=1, le=4096, description="Values of a token between blocks.")] = 64
    blocks: Annotated[int, Field(ge=1, le=24, description="Blocks of attention and dense layers.")] = 1
    heads: Annotated[int, Field(ge=1, le=64, description="Heads of each attention.")] = 4
    dense: Annotated[int, Field(ge=1, le=65_536, description="Units of each block's dense layer.")] = 128


class Transformer(TextNetwork):
    """Blocks normalised at their beginnings (Xiong et al. 2020), then the mean over tokens.

    Training without a warm-up of the learning rate needs the normalisation there.
    """

    params_class = TransformerParams
    params: TransformerParams

    def read(self, tokens: Any, suffix: str) -> Any:
        """Return the mean over tokens of the last block."""
        from keras import initializers, layers, ops

        p = self.params
        small = initializers.RandomNormal(stddev=0.02)
        # Handed on by hand: not every layer below would.
        mask = ops.not_equal(tokens, 0)
        x = layers.Embedding(p.vocabulary, p.embedding, name=f"embedding{suffix}")(tokens)
        # The bias is one value for each place in the text and each unit: the embedding of positions.
        x = layers.EinsumDense(
            "btc,cd->btd",
            (x.shape[1], p.units),
            bias_axes="td",
            bias_initializer=small,
            name=f"position{suffix}",
        )(x)
        for i in range(1, p.blocks + 1):
            x = self._block(x, mask, f"_{i}{suffix}")
        x = layers.LayerNormalization(name=f"norm{suffix}")(x)
        x = layers.GlobalAveragePooling1D(name=f"mean{suffix}")(x, mask=mask)
        return layers.Dropout(p.dropout, name=f"dropout{suffix}")(x) if p.dropout else x

    def _block(self, x: Any, mask: Any, name: str) -> Any:
        from keras import layers

        p = self.params
        y = layers.LayerNormalization(name=f"norm{name}_attention")(x)
        y = layers.MultiHeadAttention(
            p.heads, max(p.units // p.heads, 1), dropout=p.dropout, name=f"attention{name}", **self.kernel()
        )(y, y, value_mask=mask)
        x = layers.Add(name=f"add{name}_attention")([x, y])
        y = layers.LayerNormalization(name=f"norm{name}_dense")(x)
        y = layers.Dense(p.dense, activation="gelu", name=f"dense{name}", **self.kernel())(y)
        y = layers.Dense(p.units, name=f"dense{name}_out", **self.kernel())(y)
        if p.dropout:
            y = layers.Dropout(p.dropout, name=f"dropout{name}")(y)
        return layers.Add(name=f"add{name}_dense")([x, y])


ALGORITHM = Algorithm(
    name="transformer",
    title="Transformer encoder",
    summary="Text, and columns beside it, to classes, by attention; rows need not fit in memory.",
    source="Vaswani et al. 2017, Attention is all you need",
    tasks=("classification",),
    features=("text", *TABLE),
    needs=("text",),
    params=TransformerParams,
    code="headrace_workers.engine.algorithms.transformer:Transformer",
    gradients=True,
    streams=True,
    bases=("transformer",),
    trial={"embedding": 16, "units": 16, "dense": 32, "epochs": 12, "learning_rate": 0.01},
)
