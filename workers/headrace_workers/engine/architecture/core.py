"""Dense layers, embeddings, dropout, normalisation, activations, and layers that change the shape alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headrace_workers.engine.architecture.layer import Ignored, Layer, Null, Rate, Same, Shape, Units, size
from headrace_workers.engine.architecture.objects import (
    Activation,
    ChannelsLast,
    Constraint,
    Initializer,
    Regularizer,
)

Side = Annotated[int, Field(ge=1, le=100_000)]


class InputLayer(Layer):
    """``batch_shape``: the batch's axis, null, then the shape of a row."""

    batch_shape: Annotated[list[Side | None], Field(min_length=2, max_length=4)]
    sparse: Literal[False] = False
    ragged: Literal[False] = False
    optional: Literal[False] = False
    dtype: Ignored = None

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        return tuple(self.batch_shape[1:])


class Dense(Layer):
    """A dense layer, of the last axis."""

    units: Units
    activation: Activation = "linear"
    use_bias: bool = True
    kernel_initializer: Initializer = None
    bias_initializer: Initializer = None
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    bias_constraint: Constraint = None

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        return (*inputs[0][:-1], self.units)

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        return ((inputs[0][-1] or 0) + self.use_bias) * self.units


class Embedding(Layer):
    """A vector for each number from 0 to ``input_dim`` - 1."""

    input_dim: Annotated[int, Field(ge=3, le=10**12)]
    output_dim: Units
    embeddings_initializer: Initializer = None
    embeddings_regularizer: Regularizer = None
    embeddings_constraint: Constraint = None
    mask_zero: bool = False
    input_length: Ignored = None

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        return (*inputs[0], self.output_dim)

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        return self.input_dim * self.output_dim


class Activated(Same):
    """``Activation``: a function of each value."""

    activation: Activation


class Masking(Same):
    """Steps whose values are all 0, as a sequence is filled up, count as not there for the layers behind."""

    mask_value: Annotated[float, Field(ge=0, le=0)] = 0.0


class Dropout(Same):
    """Dropout."""

    rate: Rate
    noise_shape: Null = None


class SpatialDropout(Same):
    """Dropout of whole channels."""

    rate: Rate
    data_format: ChannelsLast = "channels_last"

    def arguments(self) -> dict[str, object]:
        """See `Layer.arguments`."""
        return {"rate": self.rate}


class GaussianNoise(Same):
    """Noise while training."""

    stddev: Annotated[float, Field(ge=0, le=100)]


class Rescaling(Same):
    """``scale`` times each value, plus ``offset``."""

    scale: float | list[float]
    offset: float | list[float] = 0.0


class ReLU(Same):
    """ReLU."""

    max_value: float | None = None
    negative_slope: Annotated[float, Field(ge=0)] = 0.0
    threshold: Annotated[float, Field(ge=0)] = 0.0


class LeakyReLU(Same):
    """ReLU with a slope for what is negative."""

    negative_slope: Annotated[float, Field(ge=0)] = 0.3


class ELU(Same):
    """ELU."""

    alpha: float = 1.0


class Softmax(Same):
    """Softmax over the last axis."""

    axis: Literal[-1] = -1


class Norm(Same):
    """What batch and layer normalisation share: the last axis alone."""

    axis: Literal[-1] | Annotated[list[Literal[-1]], Field(min_length=1, max_length=1)] = -1
    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.001
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer = None
    gamma_initializer: Initializer = None
    beta_regularizer: Regularizer = None
    gamma_regularizer: Regularizer = None
    beta_constraint: Constraint = None
    gamma_constraint: Constraint = None

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        return (inputs[0][-1] or 0) * (self.center + self.scale)


class BatchNormalization(Norm):
    """Batch normalisation."""

    momentum: Annotated[float, Field(ge=0, le=1)] = 0.99
    moving_mean_initializer: Initializer = None
    moving_variance_initializer: Initializer = None
    synchronized: Literal[False] = False
    renorm: Literal[False] = False
    renorm_clipping: Null = None
    renorm_momentum: Ignored = 0.99

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        return super().parameters(inputs) + 2 * (inputs[0][-1] or 0)


class LayerNormalization(Norm):
    """Layer normalisation."""

    rms_scaling: bool = False


class Flatten(Layer):
    """All values of a row in one axis."""

    data_format: ChannelsLast = "channels_last"

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        return (size(inputs[0]),)


class Reshape(Layer):
    """The same values in another shape; one axis may be -1."""

    target_shape: Annotated[list[Annotated[int, Field(ge=-1, le=100_000)]], Field(min_length=1, max_length=4)]

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        total = size(inputs[0])
        known = 1
        for side in self.target_shape:
            known *= 1 if side == -1 else side
        free = self.target_shape.count(-1)
        if free > 1 or known == 0 or (total is not None and (total % known or (not free and total != known))):
            raise ValueError(f"cannot make {self.target_shape} of {total} values")
        rest = None if total is None else total // known
        return tuple(rest if side == -1 else side for side in self.target_shape)


class Permute(Layer):
    """The axes in another order, counted from 1."""

    dims: Annotated[list[Annotated[int, Field(ge=1, le=4)]], Field(min_length=1, max_length=4)]

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        if sorted(self.dims) != list(range(1, len(inputs[0]) + 1)):
            raise ValueError(f"cannot order {len(inputs[0])} axes by {self.dims}")
        return tuple(inputs[0][dim - 1] for dim in self.dims)


class RepeatVector(Layer):
    """The row ``n`` times."""

    n: Side

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        if len(inputs[0]) != 1:
            raise ValueError(f"takes rows of 1 axis, not of {len(inputs[0])}")
        return (self.n, *inputs[0])
