"""From a config to an `Architecture`: layers, and calls of them in an order in which they can be made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from headrace_workers.engine.architecture import core
from headrace_workers.engine.architecture.allowed import LAYERS, MASKS
from headrace_workers.engine.architecture.layer import Ignored, Layer

MAX_LAYERS = 500
MAX_NODES = 50
"""How often one layer may be called."""

LAYER_MODULES = ("keras", "keras.layers")


@dataclass(frozen=True)
class Call:
    """One layer at work: ``inputs`` are calls whose outputs it gets, by their place in the order."""

    layer: int
    inputs: tuple[int, ...]
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """Layers by class and settings, and the calls from the input (the first) to the output (the last).

    ``offset``: how many layers of the config stand before ``layers``.
    """

    layers: list[tuple[str, Layer]]
    calls: list[Call]
    batch_shape: list[int | None] | None
    offset: int = 0

    def first(self) -> tuple[str, Layer]:
        """Return the first layer that gets the input."""
        return next(self.layers[call.layer] for call in self.calls if 0 in call.inputs)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Entry(_Strict):
    """One layer of a config, as Keras writes it."""

    class_name: str
    module: str | None = None
    registered_name: str | None = None
    name: Annotated[str | None, Field(max_length=200)] = None
    build_config: Ignored = None
    shared_object_id: Ignored = None
    inbound_nodes: Annotated[list[Any], Field(max_length=MAX_NODES)] = []
    config: Any

    @field_validator("class_name")
    @classmethod
    def _allowed(cls, value: str) -> str:
        if value in ("Sequential", "Functional", "Model"):
            raise ValueError("a model inside a model is not allowed: put its layers in its place")
        if value not in LAYERS and value not in MASKS:
            raise ValueError(f"{value[:60]!r} is not allowed; the layers that are: {', '.join(LAYERS)}")
        return value

    @field_validator("module")
    @classmethod
    def _of_keras(cls, value: str | None) -> str | None:
        if value not in (None, *LAYER_MODULES) and not str(value).startswith(
            ("keras.src.layers.", "keras.src.ops.")
        ):
            raise ValueError(
                f"{str(value)[:60]!r} is no module of Keras' layers: custom objects are not allowed"
            )
        return value

    @field_validator("registered_name")
    @classmethod
    def _unregistered(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value not in (None, info.data.get("class_name")):
            raise ValueError(f"{str(value)[:60]!r} is a custom object: those are not allowed")
        return value

    @field_validator("config")
    @classmethod
    def _known_settings(cls, value: Any, info: ValidationInfo) -> Any:
        known = LAYERS.get(info.data.get("class_name", ""))
        return known.model_validate(value) if known else None

    @property
    def label(self) -> str | None:
        """The name by which others refer to it."""
        return self.name or (self.config.name if self.config else None)


class _Layers(_Strict):
    name: Ignored = None
    trainable: Literal[True] = True
    dtype: Ignored = None
    layers: Annotated[list[Entry], Field(min_length=1, max_length=MAX_LAYERS)]


class _Sequential(_Layers):
    build_input_shape: Annotated[list[core.Side | None] | None, Field(min_length=2, max_length=4)] = None


class _Functional(_Layers):
    input_layers: list[Any]
    output_layers: list[Any]


class _Model(_Strict):
    class_name: Literal["Sequential", "Functional", "Model"]
    config: Any
    module: str | None = None
    registered_name: str | None = None
    build_config: Ignored = None
    compile_config: Ignored = None
    keras_version: Ignored = None
    backend: Ignored = None

    @field_validator("config")
    @classmethod
    def _known(cls, value: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("class_name")
        return (_Sequential if kind == "Sequential" else _Functional).model_validate(value) if kind else None

    @field_validator("registered_name")
    @classmethod
    def _unregistered(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value not in (None, info.data.get("class_name")):
            raise ValueError(f"{str(value)[:60]!r} is a custom object: those are not allowed")
        return value


def wrong(message: str, *loc: str | int) -> ValidationError:
    """Return the error that says ``message`` of what stands at ``loc`` in a config."""
    error = PydanticCustomError("architecture", "{message}", {"message": message})
    return ValidationError.from_exception_data(
        "architecture", [InitErrorDetails(type=error, loc=loc, input=None)]
    )


def parse(config: Any) -> Architecture:
    """Return the architecture that ``config`` describes. Raises pydantic's ValidationError, with locs."""
    model = _Model.model_validate(config)
    if isinstance(model.config, _Sequential):
        return _sequential(model.config)
    return _Graph(model.config).architecture()


def _sequential(config: _Sequential) -> Architecture:
    entries = config.layers
    shape = config.build_input_shape
    offset = int(isinstance(entries[0].config, core.InputLayer))
    if offset:
        shape = entries[0].config.batch_shape
    layers = []
    for place, entry in enumerate(entries[offset:], offset):
        if not isinstance(entry.config, Layer) or isinstance(entry.config, core.InputLayer):
            raise wrong(f"{entry.class_name} cannot stand here", "config", "layers", place, "class_name")
        if entry.config.merges or entry.class_name == "MultiHeadAttention":
            raise wrong(
                f"{entry.class_name} takes several tensors, a Sequential has one", "config", "layers", place
            )
        layers.append((entry.class_name, entry.config))
    if not layers:
        raise wrong("there is no layer but the input", "config", "layers")
    calls = [Call(-1, ()), *(Call(i, (i,)) for i in range(len(layers)))]
    return Architecture(layers, calls, shape, offset)


@dataclass
class _Graph:
    """The graph of a Functional config, being read."""

    config: _Functional
    places: dict[str, int] = field(default_factory=dict)
    masked: bool = False

    def architecture(self) -> Architecture:
        for place, entry in enumerate(self.config.layers):
            if entry.label is None or entry.label in self.places:
                raise wrong("a layer needs a name of its own", "config", "layers", place, "name")
            self.places[entry.label] = place
        entries = self.config.layers
        self.masked = any(
            isinstance(entry.config, core.Masking) or getattr(entry.config, "mask_zero", False)
            for entry in entries
        )
        first = self._end(self.config.input_layers, "input_layers")
        last = self._end(self.config.output_layers, "output_layers")
        entry = entries[first[0]].config
        if not isinstance(entry, core.InputLayer):
            raise wrong("the input should be an InputLayer", "config", "input_layers")
        order = self._order(first, last)
        if len(order) < 2:
            raise wrong("there is no layer but the input", "config", "layers")
        numbers = {node: number for number, node in enumerate(order)}
        calls = [Call(-1, ())]
        for node in order[1:]:
            inputs, keywords = self._inputs(node)
            calls.append(Call(node[0], tuple(numbers[each] for each in inputs), keywords))
        return Architecture([(entry.class_name, entry.config) for entry in entries], calls, entry.batch_shape)

    def _end(self, found: list[Any], what: str) -> tuple[int, int]:
        ends = [found] if found and isinstance(found[0], str) else found
        if len(ends) != 1:
            hint = "; text_cnn, lstm and transformer take text beside columns" if "input" in what else ""
            raise wrong(f"there should be one, not {len(ends)}{hint}", "config", what)
        return self._node(ends[0], "config", what)

    def _node(self, history: Any, *loc: str | int) -> tuple[int, int]:
        if not (
            isinstance(history, list)
            and len(history) == 3
            and isinstance(history[0], str)
            and history[0] in self.places
            and type(history[1]) is int
            and history[2] == 0
        ):
            raise wrong(f"{repr(history)[:100]} is no output of a layer that is here", *loc)
        place = self.places[history[0]]
        if not 0 <= history[1] < max(len(self.config.layers[place].inbound_nodes), 1):
            raise wrong(f"{history[0][:60]!r} is not called so often", *loc)
        return place, history[1]

    def _order(self, first: tuple[int, int], last: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the calls that the output needs, each behind those that it needs itself."""
        order, done, open_ = [first], {first}, [last]
        opened: set[tuple[int, int]] = set()
        while open_:
            node = open_[-1]
            if node in done:
                open_.pop()
                continue
            missing = [each for each in self._inputs(node)[0] if each not in done]
            if not missing:
                done.add(open_.pop())
                order.append(node)
            elif node in opened:
                raise wrong("the layers go round in a circle", "config", "layers", node[0], "inbound_nodes")
            else:
                opened.add(node)
                open_ += missing
        return order

    def _inputs(self, node: tuple[int, int]) -> tuple[list[tuple[int, int]], tuple[str, ...]]:
        """Return the calls that ``node`` takes, and the keywords under which it takes the last of them."""
        place, number = node
        entry = self.config.layers[place]
        loc = ("config", "layers", place, "inbound_nodes", number)
        if not isinstance(entry.config, Layer) or isinstance(entry.config, core.InputLayer):
            raise wrong(
                f"{entry.class_name} cannot stand between layers", "config", "layers", place, "class_name"
            )
        found = entry.inbound_nodes[number] if number < len(entry.inbound_nodes) else None
        if not isinstance(found, dict) or set(found) - {"args", "kwargs"}:
            raise wrong('a call should be {"args": […], "kwargs": {…}}', *loc)
        args, keywords = found.get("args", []), dict(found.get("kwargs") or {})
        tensors = args[0] if entry.config.merges and len(args) == 1 and isinstance(args[0], list) else args
        if not isinstance(tensors, list):
            raise wrong("args should be a list", *loc)
        self._check_masks(keywords, *loc)
        named = [name for name in ("query", "value", "key") if keywords.get(name) is not None]
        given = [*tensors, *(keywords.pop(name) for name in named)]
        other = [name for name, value in keywords.items() if value not in (None, False)]
        several = entry.config.merges or entry.class_name == "MultiHeadAttention"
        if other or (named and entry.class_name != "MultiHeadAttention"):
            raise wrong(f"the argument {(other or named)[0][:60]!r} is not allowed", *loc)
        if not given or (len(given) > 1 and not several):
            raise wrong(f"{entry.class_name} takes one tensor, here are {len(given)}", *loc)
        return [self._node(_history(each), *loc) for each in given], tuple(named)

    def _check_masks(self, keywords: dict[str, Any], *loc: str | int) -> None:
        """Take out the masks that Keras makes anew from ``mask_zero`` and from Masking."""
        if keywords.pop("mask", None) is not None and not self.masked:
            raise wrong("a mask is made by Masking or an Embedding with mask_zero, not given", *loc)


def _history(tensor: Any) -> Any:
    if isinstance(tensor, dict) and tensor.get("class_name") == "__keras_tensor__":
        config = tensor.get("config")
        return config.get("keras_history") if isinstance(config, dict) else None
    return tensor
