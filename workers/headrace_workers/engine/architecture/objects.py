"""What the settings of a layer may refer to: initializers, regularizers, constraints, activations, dtypes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

ACTIVATIONS = frozenset(
    [
        *("celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu"),
        *("linear", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus"),
        *("softsign", "swish", "tanh", "tanh_shrink"),
    ]
)
INITIALIZERS: Mapping[str, frozenset[str]] = {
    "Zeros": frozenset(),
    "Ones": frozenset(),
    "Constant": frozenset({"value"}),
    "RandomNormal": frozenset({"mean", "stddev"}),
    "RandomUniform": frozenset({"minval", "maxval"}),
    "TruncatedNormal": frozenset({"mean", "stddev"}),
    "VarianceScaling": frozenset({"scale", "mode", "distribution"}),
    "GlorotNormal": frozenset(),
    "GlorotUniform": frozenset(),
    "HeNormal": frozenset(),
    "HeUniform": frozenset(),
    "LecunNormal": frozenset(),
    "LecunUniform": frozenset(),
    "Orthogonal": frozenset({"gain"}),
}
REGULARIZERS: Mapping[str, frozenset[str]] = {
    "L1": frozenset({"l1"}),
    "L2": frozenset({"l2"}),
    "L1L2": frozenset({"l1", "l2"}),
}
CONSTRAINTS: Mapping[str, frozenset[str]] = {
    "MaxNorm": frozenset({"max_value", "axis"}),
    "MinMaxNorm": frozenset({"min_value", "max_value", "rate", "axis"}),
    "NonNeg": frozenset(),
    "UnitNorm": frozenset({"axis"}),
}
IGNORED = frozenset({"seed", "input_axes", "output_axes"})
"""Settings that follow from the spec's seed and from the layer."""

TEXTS = frozenset(
    {"fan_in", "fan_out", "fan_avg", "normal", "truncated_normal", "untruncated_normal", "uniform"}
)


def _one_of(kind: str, known: Mapping[str, frozenset[str]]) -> Callable[[Any], dict[str, Any] | None]:
    """Return a validator of Keras objects of a ``kind``: a name, or a dict as Keras writes it."""
    names = {snake(name): name for name in known} | {name: name for name in known}
    names |= {"l1_l2": "L1L2"} if "L1L2" in known else {}

    def read(value: Any) -> dict[str, Any] | None:
        if value is None:
            return None
        found = {"class_name": value} if isinstance(value, str) else value
        name = found.get("class_name") if isinstance(found, dict) else None
        if not isinstance(name, str) or name not in names:
            shown = repr(name if isinstance(found, dict) else value)[:60]
            raise ValueError(f"{shown} is no {kind} that is allowed: {', '.join(known)}")
        module, registered = found.get("module"), found.get("registered_name")
        if module not in (None, "keras", f"keras.{kind}s") or registered not in (None, name):
            raise ValueError(
                f"{str(module)[:60]}.{name} is no {kind} of Keras: custom objects are not allowed"
            )
        config = found.get("config")
        if config is not None and not isinstance(config, dict):
            raise ValueError(f"the config of the {kind} {name} should be an object")
        settings = {key: item for key, item in (config or {}).items() if key not in IGNORED}
        for key, item in settings.items():
            if key not in known[names[name]]:
                raise ValueError(f"the {kind} {name} has no setting {str(key)[:60]!r}")
            if not (item in TEXTS if isinstance(item, str) else isinstance(item, int | float)):
                raise ValueError(f"{key} of the {kind} {name} should be a number, not {repr(item)[:60]}")
        return {"class_name": names[name], "config": settings}

    return read


def snake(name: str) -> str:
    """Return the name of a class as Keras writes it in names: ``MaxPooling2D`` as ``max_pooling2d``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", name).lower()


def _activation(value: Any) -> str:
    if value is None:
        return "linear"
    if not isinstance(value, str) or value not in ACTIVATIONS:
        allowed = ", ".join(sorted(ACTIVATIONS))
        raise ValueError(f"{repr(value)[:60]} is no activation that is allowed: {allowed}")
    return value


def _float32(value: Any) -> str:
    policy = (
        value.get("config") if isinstance(value, dict) and value.get("class_name") == "DTypePolicy" else None
    )
    name = policy.get("name") if isinstance(policy, dict) else value
    if name not in (None, "float32"):
        raise ValueError(f"{repr(name)[:60]} is not supported: networks compute in float32")
    return "float32"


Initializer = Annotated[dict[str, Any] | None, BeforeValidator(_one_of("initializer", INITIALIZERS))]
Regularizer = Annotated[dict[str, Any] | None, BeforeValidator(_one_of("regularizer", REGULARIZERS))]
Constraint = Annotated[dict[str, Any] | None, BeforeValidator(_one_of("constraint", CONSTRAINTS))]
Activation = Annotated[str, BeforeValidator(_activation)]
DType = Annotated[str, BeforeValidator(_float32)]
ChannelsLast = Literal["channels_last"]
