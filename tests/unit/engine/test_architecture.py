"""Networks as data: read without Keras, to the same shapes and sizes as Keras says; anything else refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import pytest
from keras import layers
from pydantic import ValidationError

from headrace_workers.engine.architecture import shapes
from headrace_workers.engine.architecture.allowed import LAYERS
from headrace_workers.engine.architecture.build import build
from headrace_workers.engine.architecture.inputs import shape_of
from headrace_workers.engine.architecture.model import parse
from headrace_workers.engine.architecture.shapes import infer


def _sequential(*shape: int | None, stack: list[Any]) -> Any:
    return keras.Sequential([keras.Input(shape), *stack])


def _branches() -> Any:
    x = keras.Input((12, 12, 3))
    a = layers.Conv2D(4, (3, 2), strides=2, padding="same", groups=1, kernel_constraint="max_norm")(x)
    b = layers.SeparableConv2D(4, 3, strides=2, padding="same", depth_multiplier=2)(x)
    c = layers.DepthwiseConv2D(2, strides=2, depth_multiplier=2)(x)
    shared = layers.Conv2D(4, 1, use_bias=False, kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2))
    joined = layers.Concatenate()([layers.Add()([shared(a), shared(b)]), c])
    joined = layers.BatchNormalization()(layers.ZeroPadding2D(((1, 0), (2, 1)))(joined))
    joined = layers.AveragePooling2D(2, padding="same")(layers.UpSampling2D((2, 1))(joined))
    joined = layers.SpatialDropout2D(0.1)(layers.LeakyReLU()(joined))
    top = layers.Multiply()([layers.GlobalMaxPooling2D()(joined), layers.GlobalAveragePooling2D()(joined)])
    return keras.Model(x, layers.Softmax()(layers.Dense(5, "gelu")(top)))


def _attention() -> Any:
    x = keras.Input((9,))
    e = layers.Embedding(50, 8, mask_zero=True)(x)
    a = layers.LayerNormalization()(layers.MultiHeadAttention(2, 3, value_dim=5, dropout=0.1)(e, value=e))
    g = layers.Bidirectional(layers.GRU(4, return_sequences=True), merge_mode="sum")(a)
    m = layers.Maximum()([layers.GlobalAveragePooling1D()(g), layers.SimpleRNN(4)(g)])
    return keras.Model(x, layers.Dense(3)(layers.GaussianNoise(0.1)(m)))


def _steps() -> Any:
    x = keras.Input((7, 2))
    s = layers.LSTM(4, return_sequences=True)(layers.Masking()(x))
    return keras.Model(x, layers.Dense(3)(layers.LSTM(5)(s)))


MODELS: dict[str, Callable[[], Any]] = {
    "images": lambda: _sequential(
        28,
        28,
        1,
        stack=[
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2, seed=3),
            layers.Dense(10, "softmax"),
        ],
    ),
    "text": lambda: _sequential(
        20, stack=[layers.Embedding(100, 16), layers.LSTM(32), layers.Dense(2, "softmax")]
    ),
    "windows": lambda: _sequential(
        20,
        stack=[
            layers.Embedding(100, 8),
            layers.SpatialDropout1D(0.1),
            layers.Conv1D(6, 4, dilation_rate=2),
            layers.Conv1D(6, 3, strides=2, padding="causal"),
            layers.MaxPooling1D(),
            layers.Permute((2, 1)),
            layers.AveragePooling1D(2),
            layers.Reshape((-1, 3)),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2),
        ],
    ),
    "table": lambda: _sequential(
        6,
        stack=[
            layers.Rescaling(2.0),
            layers.Dense(8, kernel_initializer="he_normal"),
            layers.Activation("tanh"),
            layers.ReLU(),
            layers.ELU(),
            layers.RepeatVector(3),
            layers.Flatten(),
            layers.Dense(1),
        ],
    ),
    "branches": _branches,
    "attention": _attention,
    "steps": _steps,
}


@cache
def _json(name: str) -> str:
    return str(MODELS[name]().to_json())


def _config(name: str) -> Any:
    return json.loads(_json(name))


@pytest.mark.parametrize("name", list(MODELS))
def test_keras_agrees_with_shapes_and_sizes_and_gets_the_same_network_back(name: str) -> None:
    model = MODELS[name]()
    architecture = parse(json.loads(model.to_json()))
    found = infer(architecture, shape_of(architecture))
    assert found.output == model.output_shape[1:]
    assert found.parameters == model.count_params()
    tensor = keras.Input(model.input_shape[1:])
    again = keras.Model(tensor, build(architecture, tensor))
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]
    names = [type(layer).__name__ for layer in model.layers if type(layer).__name__ in LAYERS]
    built = [type(layer).__name__ for layer in again.layers if type(layer).__name__ in LAYERS]
    assert sorted(built) == sorted(names if "InputLayer" in names else ["InputLayer", *names])


def test_every_allowed_layer_is_one_of_keras_and_tried_here() -> None:
    assert all(issubclass(getattr(layers, name), layers.Layer) for name in LAYERS)
    tried = {type(layer).__name__ for make in MODELS.values() for layer in make().layers} | {"InputLayer"}
    # As Add is, or inside another.
    alike = {"Average", "Minimum", "Subtract", "GRU"}
    assert set(LAYERS) - tried - alike == set()


def test_weights_are_called_the_same_wherever_the_config_comes_from() -> None:
    def paths(config: Any) -> list[str]:
        tensor = keras.Input((20,))
        return [weight.path for weight in keras.Model(tensor, build(parse(config), tensor)).weights]

    assert paths(_config("text")) == paths(_config("text"))
    plain = {
        "class_name": "Sequential",
        "config": {
            "layers": [
                {"class_name": "Embedding", "config": {"input_dim": 100, "output_dim": 16}},
                {"class_name": "LSTM", "config": {"units": 32}},
                {"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}},
            ]
        },
    }
    assert paths(plain) == paths(_config("text"))


CUSTOM = {"module": "evil", "class_name": "Zeros", "config": {}, "registered_name": "evil>Zeros"}
ELSEWHERE = {"module": "os", "class_name": "Zeros", "config": {}}
NO_NUMBER = {"class_name": "L2", "config": {"l2": []}}
BAD: list[tuple[str, int, str, Any, str]] = [
    ("table", 2, "class_name", "Lambda", "'Lambda' is not allowed"),
    ("table", 2, "class_name", "TFSMLayer", "'TFSMLayer' is not allowed"),
    ("table", 2, "class_name", "Dence", "the layers that are"),
    ("table", 2, "class_name", "Sequential", "inside a model"),
    ("table", 2, "module", "os", "custom objects"),
    ("table", 2, "registered_name", "a>Dense", "custom object"),
    ("table", 2, "config.unit", 3, "not permitted"),
    ("table", 2, "config.units", "8", "integer"),
    ("table", 2, "config.units", 10**12, "less than or equal"),
    ("table", 2, "config.bias_initializer", CUSTOM, "custom"),
    ("table", 2, "config.bias_initializer", ELSEWHERE, "custom"),
    ("table", 2, "config.activation", {"class_name": "f"}, "no activation"),
    ("table", 2, "config.kernel_constraint", "x", "no constraint"),
    ("table", 2, "config.kernel_regularizer", NO_NUMBER, "should be a number"),
    ("table", 2, "config.dtype", "float16", "float32"),
    ("table", 2, "config.dtype", {"a": {"b": {}}}, "float32"),
    ("text", 1, "config.input_dim", 10**12, "16,000,000,000,000 parameters"),
    ("text", 2, "config.stateful", True, "False"),
    ("images", 1, "config.kernel_size", [29, 3], "does not fit"),
    ("images", 1, "config.kernel_size", [3, 3, 3], "at most 2"),
    ("images", 1, "config.filters", 65_536, "values"),
    ("windows", 8, "config.target_shape", [5, 7], "cannot make"),
    ("images", 0, "config.batch_shape", [None, 28, 28], "three"),
    ("images", 0, "config.batch_shape", [None, 28, 28, 4], "1 or 3"),
    ("images", 0, "config.batch_shape", [7, 28, 28, 1], "batch"),
    ("images", 0, "config.batch_shape", [None, 9000, 9, 1], "1024"),
]


@pytest.mark.parametrize(("name", "place", "what", "value", "said"), BAD)
def test_what_is_refused_is_named_with_its_place(
    name: str, place: int, what: str, value: Any, said: str
) -> None:
    config = _config(name)
    entry = config["config"]["layers"][place]
    path = what.split(".")
    (entry["config"] if len(path) > 1 else entry)[path[-1]] = value
    with pytest.raises(ValidationError) as caught:
        _check(config)
    errors = [(list(error["loc"]), error["msg"]) for error in caught.value.errors()]
    # What is wrong of a layer only among others is told of the layer.
    places = [["config", "layers", place, *path], ["config", "layers", place]]
    assert [msg for loc, msg in errors if loc in places and said in msg], errors


def _check(config: Any) -> None:
    architecture = parse(config)
    infer(architecture, shape_of(architecture))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"class_name": "Lambda", "config": {}},
        {"class_name": "Sequential", "config": {"layers": []}},
        {
            "class_name": "Sequential",
            "config": {"layers": [{"class_name": "Dense", "config": {"units": 1}}] * 501},
        },
        {"class_name": "Sequential", "config": {"layers": [{"class_name": "Add", "config": {}}]}},
        {"class_name": "Sequential", "config": [], "registered_name": "a>b"},
        {"class_name": "Sequential", "config": {"layers": [{"class_name": "NotEqual", "config": {}}]}},
    ],
)
def test_what_is_no_network(config: Any) -> None:
    with pytest.raises(ValidationError):
        parse(config)


WIRES: list[tuple[dict[str, Any], str]] = [
    ({"args": [["nowhere", 0, 0]]}, "no output of a layer"),
    ({"args": [["softmax", 9, 0]]}, "no output of a layer"),
    ({"args": []}, "takes one tensor, here are 0"),
    ({"args": [{"class_name": "__keras_tensor__", "config": 3}]}, "no output of a layer"),
    ({"kwargs": {"training": True}}, "'training' is not allowed"),
    ({"kwargs": {"mask": ["softmax", 0, 0]}}, "mask_zero"),
]


@pytest.mark.parametrize(("wires", "said"), WIRES)
def test_a_graph_that_is_wired_wrongly(wires: dict[str, Any], said: str) -> None:
    config = _config("branches")
    for layer in config["config"]["layers"]:
        if layer["name"].startswith("softmax"):
            layer["inbound_nodes"][0].update(wires)
    with pytest.raises(ValidationError, match=said):
        parse(config)


def test_a_circle_is_refused() -> None:
    config = _config("branches")
    nodes = {layer["name"]: layer["inbound_nodes"] for layer in config["config"]["layers"]}
    dense = next(name for name in nodes if name.startswith("dense"))
    softmax = next(name for name in nodes if name.startswith("softmax"))
    nodes[dense][0]["args"] = [[softmax, 0, 0]]
    with pytest.raises(ValidationError, match="circle"):
        parse(config)


def test_limits_count_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = parse(_config("images"))
    monkeypatch.setattr(shapes, "MAX_PARAMETERS", infer(architecture, (28, 28, 1)).parameters)
    infer(architecture, (28, 28, 1))
    monkeypatch.setattr(shapes, "MAX_PARAMETERS", shapes.MAX_PARAMETERS - 1)
    with pytest.raises(ValidationError, match="the limit is"):
        infer(architecture, (28, 28, 1))
