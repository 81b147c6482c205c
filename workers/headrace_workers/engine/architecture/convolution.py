"""Convolutions, pooling and padding, of one or two axes with the channels last."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from headrace_workers.engine.architecture.layer import Layer, Shape, rank
from headrace_workers.engine.architecture.objects import (
    Activation,
    ChannelsLast,
    Constraint,
    Initializer,
    Regularizer,
)

Extent = Annotated[int, Field(ge=1, le=1024)]


def _sides(value: Any) -> Any:
    return value if isinstance(value, list | None) else [value]


Extents = Annotated[list[Extent], BeforeValidator(_sides), Field(min_length=1, max_length=2)]
Filters = Annotated[int, Field(ge=1, le=65_536)]


class Window(Layer):
    """What slides a window over ``axes`` axes."""

    axes: ClassVar[int] = 2

    padding: Literal["valid", "same"] = "valid"
    strides: Annotated[list[Extent] | None, BeforeValidator(_sides), Field(max_length=2)] = None
    data_format: ChannelsLast = "channels_last"

    def sides(self, values: list[int]) -> list[int]:
        """Return one value for each axis. Raises ValueError when there are others."""
        found = values * self.axes if len(values) == 1 else values
        if len(found) != self.axes:
            raise ValueError(f"slides over {self.axes} axes, not {len(found)}")
        return found

    def slide(self, shape: Shape, window: list[int], strides: list[int], dilation: list[int]) -> Shape:
        """Return the sides of what comes out of ``shape``. Raises ValueError when nothing does."""
        rank(shape, self.axes + 1)
        sides: list[int | None] = []
        for side, width, stride, gap in zip(
            shape[:-1], self.sides(window), self.sides(strides), self.sides(dilation), strict=True
        ):
            whole = 0 if self.padding == "same" else (width - 1) * gap
            left = None if side is None else (side - whole + stride - 1) // stride
            if left is not None and left < 1:
                raise ValueError(f"a window of {width} does not fit into a side of {side}")
            sides.append(left)
        return tuple(sides)

    def arguments(self) -> dict[str, Any]:
        """See `Layer.arguments`."""
        given = super().arguments()
        return {
            name: tuple(self.sides(value)) if isinstance(value, list) else value
            for name, value in given.items()
            if (name, value) != ("strides", None)
        }


class _Kernel(Window):
    kernel_size: Extents
    dilation_rate: Extents = [1]
    activation: Activation = "linear"
    use_bias: bool = True
    bias_initializer: Initializer = None
    bias_regularizer: Regularizer = None
    bias_constraint: Constraint = None

    @model_validator(mode="after")
    def _strides_or_dilation(self) -> _Kernel:
        if max(self.dilation_rate) > 1 and max(self.strides or [1]) > 1:
            raise ValueError("strides and dilation_rate cannot both be above 1")
        return self

    def slid(self, shape: Shape) -> Shape:
        return self.slide(shape, self.kernel_size, self.strides or [1], self.dilation_rate)

    @property
    def area(self) -> int:
        sides = self.sides(self.kernel_size)
        return sides[0] * sides[-1] if self.axes == 2 else sides[0]


class Conv2D(_Kernel):
    """A convolution."""

    filters: Filters
    groups: Annotated[int, Field(ge=1, le=65_536)] = 1
    kernel_initializer: Initializer = None
    kernel_regularizer: Regularizer = None
    kernel_constraint: Constraint = None

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        channels = inputs[0][-1]
        if (channels is not None and channels % self.groups) or self.filters % self.groups:
            raise ValueError(
                f"{self.groups} groups do not divide {channels} channels and {self.filters} filters"
            )
        return (*self.slid(inputs[0]), self.filters)

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        return (self.area * ((inputs[0][-1] or 0) // self.groups) + self.use_bias) * self.filters


class Conv1D(Conv2D):
    """A convolution over one axis."""

    axes = 1
    padding: Literal["valid", "same", "causal"] = "valid"  # type: ignore[assignment]

    def slid(self, shape: Shape) -> Shape:
        """Return the sides of what comes out; a causal convolution keeps them as ``same`` does."""
        if self.padding != "causal":
            return super().slid(shape)
        return self.model_copy(update={"padding": "same"}).slid(shape)


class DepthwiseConv2D(_Kernel):
    """A convolution of each channel by itself."""

    depth_multiplier: Annotated[int, Field(ge=1, le=1024)] = 1
    depthwise_initializer: Initializer = None
    depthwise_regularizer: Regularizer = None
    depthwise_constraint: Constraint = None

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        channels = inputs[0][-1]
        return (*self.slid(inputs[0]), None if channels is None else channels * self.depth_multiplier)

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        return (inputs[0][-1] or 0) * self.depth_multiplier * (self.area + self.use_bias)


class SeparableConv2D(DepthwiseConv2D):
    """A convolution of each channel by itself, then one of all channels."""

    filters: Filters
    pointwise_initializer: Initializer = None
    pointwise_regularizer: Regularizer = None
    pointwise_constraint: Constraint = None

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        return (*super().output(inputs)[:-1], self.filters)

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        between = (inputs[0][-1] or 0) * self.depth_multiplier
        return between * self.area + (between + self.use_bias) * self.filters


class Pooling2D(Window):
    """The largest or the mean value of each window."""

    pool_size: Extents = [2]

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        sides = self.slide(inputs[0], self.pool_size, self.strides or self.pool_size, [1])
        return (*sides, inputs[0][-1])


class Pooling1D(Pooling2D):
    """The largest or the mean value of each window over one axis."""

    axes = 1


class GlobalPooling2D(Layer):
    """The largest or the mean value of each channel."""

    axes: ClassVar[int] = 2

    data_format: ChannelsLast = "channels_last"
    keepdims: bool = False

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        rank(inputs[0], self.axes + 1)
        return (*([1] * self.axes if self.keepdims else []), inputs[0][-1])


class GlobalPooling1D(GlobalPooling2D):
    """The largest or the mean value of each channel over one axis."""

    axes = 1


class ZeroPadding2D(Layer):
    """Zeros around."""

    padding: int | list[Annotated[int, Field(ge=0, le=1024)] | list[Annotated[int, Field(ge=0, le=1024)]]] = 1
    data_format: ChannelsLast = "channels_last"

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        rank(inputs[0], 3)
        given = [self.padding] * 2 if isinstance(self.padding, int) else self.padding
        pairs = [[each] * 2 if isinstance(each, int) else each for each in given]
        if len(pairs) != 2 or any(len(pair) != 2 for pair in pairs) or not 0 <= sum(map(sum, pairs)) <= 4096:
            raise ValueError("padding should be one number, two numbers, or two pairs of them")
        height, width, channels = inputs[0]
        top, left = sum(pairs[0]), sum(pairs[1])
        return (None if height is None else height + top, None if width is None else width + left, channels)


class UpSampling2D(Layer):
    """Each value ``size`` times."""

    size: Extents = [2]
    data_format: ChannelsLast = "channels_last"
    interpolation: Literal["nearest", "bilinear"] = "nearest"

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        rank(inputs[0], 3)
        height, width, channels = inputs[0]
        down, across = self.size[0], self.size[-1]
        return (
            None if height is None else height * down,
            None if width is None else width * across,
            channels,
        )

    def arguments(self) -> dict[str, Any]:
        """See `Layer.arguments`."""
        return super().arguments() | {"size": (self.size[0], self.size[-1])}
