"""The layers that a config may hold, by Keras' names, and what a saved model may hold beside them."""

from __future__ import annotations

from collections.abc import Mapping

from headrace_workers.engine.architecture import convolution, core, merging, sequence
from headrace_workers.engine.architecture.layer import Layer

LAYERS: Mapping[str, type[Layer]] = {
    "InputLayer": core.InputLayer,
    "Activation": core.Activated,
    "Add": merging.Merge,
    "Average": merging.Merge,
    "AveragePooling1D": convolution.Pooling1D,
    "AveragePooling2D": convolution.Pooling2D,
    "BatchNormalization": core.BatchNormalization,
    "Bidirectional": sequence.Bidirectional,
    "Concatenate": merging.Concatenate,
    "Conv1D": convolution.Conv1D,
    "Conv2D": convolution.Conv2D,
    "Dense": core.Dense,
    "DepthwiseConv2D": convolution.DepthwiseConv2D,
    "Dropout": core.Dropout,
    "ELU": core.ELU,
    "Embedding": core.Embedding,
    "Flatten": core.Flatten,
    "GRU": sequence.GRU,
    "GaussianNoise": core.GaussianNoise,
    "GlobalAveragePooling1D": convolution.GlobalPooling1D,
    "GlobalAveragePooling2D": convolution.GlobalPooling2D,
    "GlobalMaxPooling1D": convolution.GlobalPooling1D,
    "GlobalMaxPooling2D": convolution.GlobalPooling2D,
    "LSTM": sequence.LSTM,
    "LayerNormalization": core.LayerNormalization,
    "LeakyReLU": core.LeakyReLU,
    "Masking": core.Masking,
    "MaxPooling1D": convolution.Pooling1D,
    "MaxPooling2D": convolution.Pooling2D,
    "Maximum": merging.Merge,
    "Minimum": merging.Merge,
    "MultiHeadAttention": sequence.MultiHeadAttention,
    "Multiply": merging.Merge,
    "Permute": core.Permute,
    "ReLU": core.ReLU,
    "RepeatVector": core.RepeatVector,
    "Rescaling": core.Rescaling,
    "Reshape": core.Reshape,
    "SeparableConv2D": convolution.SeparableConv2D,
    "SimpleRNN": sequence.SimpleRNN,
    "Softmax": core.Softmax,
    "SpatialDropout1D": core.SpatialDropout,
    "SpatialDropout2D": core.SpatialDropout,
    "Subtract": merging.Merge,
    "UpSampling2D": convolution.UpSampling2D,
    "ZeroPadding2D": convolution.ZeroPadding2D,
}

MASKS = frozenset({"Any", "ExpandDims", "LogicalAnd", "LogicalOr", "NotEqual"})
"""Operations that Keras notes in a config for the masks of padding."""
