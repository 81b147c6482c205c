"""Recurrent layers and attention."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace_workers.engine.architecture.layer import Ignored, Layer, Null, Rate, Shape, Units, rank
from headrace_workers.engine.architecture.objects import Activation, Constraint, Initializer, Regularizer


class SimpleRNN(Layer):
    """A recurrent layer without gates, and what all recurrent layers share."""

    units: Units
    activation: Activation = "tanh"
    use_bias: bool = True
    kernel_initializer: Initializer = None
    recurrent_initializer: Initializer = None
    bias_initializer: Initializer = None
    kernel_regularizer: Regularizer = None
    recurrent_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    recurrent_constraint: Constraint = None
    bias_constraint: Constraint = None
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    return_sequences: bool = False
    return_state: Literal[False] = False
    go_backwards: bool = False
    stateful: Literal[False] = False
    unroll: Literal[False] = False
    zero_output_for_mask: bool = False

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        rank(inputs[0], 2)
        return (inputs[0][0], self.units) if self.return_sequences else (self.units,)

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        return self.gates * self.units * ((inputs[0][-1] or 0) + self.units + self.biases)

    @property
    def gates(self) -> int:
        """How many kernels there are side by side."""
        return 1

    @property
    def biases(self) -> int:
        """How many biases each unit of a gate has."""
        return int(self.use_bias)


class LSTM(SimpleRNN):
    """LSTM."""

    recurrent_activation: Activation = "sigmoid"
    unit_forget_bias: bool = True

    @property
    def gates(self) -> int:
        """See `SimpleRNN.gates`."""
        return 4


class GRU(SimpleRNN):
    """GRU."""

    recurrent_activation: Activation = "sigmoid"
    reset_after: bool = True

    @property
    def gates(self) -> int:
        """See `SimpleRNN.gates`."""
        return 3

    @property
    def biases(self) -> int:
        """See `SimpleRNN.biases`."""
        return self.use_bias * (2 if self.reset_after else 1)


class _Recurrent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    module: Literal["keras.layers", "keras"] | None = None
    class_name: str
    registered_name: Null = None
    build_config: Ignored = None


class _Lstm(_Recurrent):
    class_name: Literal["LSTM"]
    config: LSTM


class _Gru(_Recurrent):
    class_name: Literal["GRU"]
    config: GRU


class _SimpleRnn(_Recurrent):
    class_name: Literal["SimpleRNN"]
    config: SimpleRNN


class Bidirectional(Layer):
    """A recurrent layer from both ends. The backward one is as the forward one, but for its direction."""

    layer: Annotated[_Lstm | _Gru | _SimpleRnn, Field(discriminator="class_name")]
    merge_mode: Literal["concat", "sum", "mul", "ave"] = "concat"
    backward_layer: Ignored = None

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        one = self.layer.config.output(inputs)
        return (*one[:-1], self.layer.config.units * (2 if self.merge_mode == "concat" else 1))

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        return 2 * self.layer.config.parameters(inputs)


class MultiHeadAttention(Layer):
    """Attention of ``query`` to ``value`` (and ``key``, if given)."""

    num_heads: Annotated[int, Field(ge=1, le=1024)]
    key_dim: Annotated[int, Field(ge=1, le=65_536)]
    value_dim: Annotated[int | None, Field(ge=1, le=65_536)] = None
    dropout: Rate = 0.0
    use_bias: bool = True
    output_shape: Annotated[int, Field(ge=1, le=65_536)] | None = None
    attention_axes: Annotated[list[Literal[1]] | None, Field(max_length=1)] = None
    kernel_initializer: Initializer = None
    bias_initializer: Initializer = None
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    bias_constraint: Constraint = None
    use_gate: Literal[False] = False
    sliding_window: Null = None
    flash_attention: Ignored = None

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        if not 2 <= len(inputs) <= 3:
            raise ValueError("takes a query, a value, and a key if you wish")
        for shape in inputs:
            rank(shape, 2)
        return (inputs[0][0], self.output_shape or inputs[0][-1])

    def parameters(self, inputs: list[Shape]) -> int:
        """See `Layer.parameters`."""
        query, value, key = (shape[-1] or 0 for shape in (inputs[0], inputs[1], inputs[-1]))
        keys, values = self.num_heads * self.key_dim, self.num_heads * (self.value_dim or self.key_dim)
        bias = int(self.use_bias)
        inner = (query + key + 2 * bias) * keys + (value + bias) * values
        return inner + (values + bias) * (self.output_shape or query)

    def arguments(self) -> dict[str, Any]:
        """See `Layer.arguments`."""
        return {name: value for name, value in super().arguments().items() if name != "attention_axes"}
