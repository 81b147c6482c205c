"""Any Keras network, brought as its JSON config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from headrace.errors import BadSpec
from headrace.specs.algorithms import Algorithm, Params
from headrace.specs.base import Column, ColumnType, TaskType
from headrace_workers.engine.algorithms.base import Encoding, Problem, SequenceEncoding, TextEncoding
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.algorithms.params import Augmentation, NetworkParams
from headrace_workers.engine.architecture import head
from headrace_workers.engine.architecture.core import Embedding
from headrace_workers.engine.architecture.inputs import Kind, kind_of, shape_of
from headrace_workers.engine.architecture.layer import text
from headrace_workers.engine.architecture.model import Architecture, parse, wrong
from headrace_workers.engine.architecture.shapes import infer

TABLE: tuple[ColumnType, ...] = ("number", "integer", "boolean", "category", "timestamp")
FEATURES: dict[Kind, tuple[ColumnType, ...]] = {
    "table": TABLE,
    "image": ("image",),
    "text": ("text",),
    "sequence": ("sequence",),
}


TRIAL = {
    "class_name": "Sequential",
    "config": {
        "layers": [
            {"class_name": "Dense", "config": {"units": 32, "activation": "relu"}},
            {"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}},
        ]
    },
}


def _checked(config: dict[str, Any]) -> dict[str, Any]:
    if not config:
        raise ValueError("is needed: the object that Keras' model.to_json() gives")
    architecture = parse(config)
    output = infer(architecture, shape_of(architecture)).output
    if len(output) != 1:
        raise wrong(
            f"the network gives {text(output)} for a row; it should give one axis, of a unit for each class",
            "config",
            "layers",
        )
    return config


class KerasParams(NetworkParams):
    """Params of `keras`. The penalties are those of kernels whose layer has no regularizer of its own."""

    architecture: Annotated[
        dict[str, Any],
        AfterValidator(_checked),
        Field(
            description="What Keras' model.to_json() gives, as an object: a Sequential or Functional model "
            "of allowed layers. Images come scaled to 0 to 1 unless Rescaling is the first layer. Text "
            "comes as token numbers, filled up on the left: the Embedding's input_dim is the vocabulary, the "
            "input's length is that of a text. Sequences come standardised, shape (length, columns), filled "
            "up on the left with 0, which Masking hides. The output is softmax or linear with a unit for "
            "each class, sigmoid with one unit for two classes, linear with one unit for a number.",
            # There is none that is good for every dataset; this one is refused with a word of help.
            validate_default=True,
        ),
    ] = {}
    augmentation: Augmentation | None = None

    def parsed(self) -> Architecture:
        """Return the network."""
        return parse(self.architecture)

    def misfits(self, task: TaskType) -> dict[str, str]:
        """See `Params.misfits`."""
        architecture, kind = self.parsed(), kind_of(self.parsed())
        found = super().misfits(task)
        units = infer(architecture, shape_of(architecture)).output[0]
        problem = head.misfit(architecture, task, units)
        if kind == "text" and task != "classification":
            problem = "a network that reads text is for classes, not for a number"
        if problem:
            found["architecture"] = problem
        if self.augmentation is not None and kind != "image":
            found["augmentation"] = (
                f"only images are changed at random, the network reads a {kind}: should be null"
            )
        return found

    def narrows(self) -> dict[str, Any]:
        """See `Params.narrows`."""
        kind = kind_of(self.parsed())
        return {"features": FEATURES[kind], "single_feature": kind in ("image", "text")}

    def misfit_columns(self, features: Sequence[Column]) -> dict[str, str]:
        """See `Params.misfit_columns`."""
        architecture = self.parsed()
        kind, wanted = kind_of(architecture), shape_of(architecture)[-1]
        if kind == "sequence" and wanted not in (None, len(features)):
            return {"architecture": f"the network takes {wanted} values a step, of {len(features)} sequences"}
        if kind != "table" or wanted is None:
            return {}
        widths = [_widths(column) for column in features]
        least, most = (sum(ends) for ends in zip(*widths, strict=True))
        if least <= wanted <= most:
            return {}
        values = f"{least}" if least == most else f"{least} to {most}"
        said = f"the network takes {wanted} values a row, the features become {values}"
        return {"architecture": said}


def _widths(column: Column) -> tuple[int, int]:
    """Return how many values the column becomes, at least and at most."""
    if column.type == "category":
        return 3, 1002
    base = 7 if column.type == "timestamp" else 1
    # Where training rows have missing values, there is a flag beside.
    return base, base + column.nullable


class Keras(Network):
    """A network built from its config, layer by layer; Keras deserialises nothing of it."""

    params_class = KerasParams
    params: KerasParams

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return what the network's input asks for."""
        assert isinstance(params, KerasParams)
        architecture = params.parsed()
        shape = shape_of(architecture)
        match kind_of(architecture), architecture.first()[1]:
            case "text", Embedding(input_dim=vocabulary):
                return Encoding(text=TextEncoding(vocabulary, shape[0]))
            case "image", _:
                height, width, channels = shape
                return Encoding(image_size=(height, width) if height and width else None, channels=channels)
            case "sequence", _:
                return Encoding(sequence=SequenceEncoding(shape[0]))
        return Encoding()

    def augmentation(self) -> Augmentation | None:
        """Return what the params say."""
        return self.params.augmentation

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the output of the network. Raises `BadSpec` where it does not fit the data."""
        from keras import layers

        from headrace_workers.engine.architecture.build import build

        architecture = self.params.parsed()
        _check(architecture, self.problem)
        kind = kind_of(architecture)
        x = inputs[kind]
        if kind == "image" and architecture.first()[0] != "Rescaling":
            x = layers.Rescaling(1 / 255, name="rescaling")(x)
        try:
            x = build(head.opened(architecture), x, self.kernel()["kernel_regularizer"])
        except (ValueError, TypeError) as error:
            raise BadSpec(f"architecture: Keras refuses it: {str(error)[:500]}") from None
        return head.closed(architecture, x, self.problem.task)

    def output(self, tensor: Any) -> Any:
        """Return the tensor as it is: the output layer is part of what was brought."""
        return tensor


def _check(architecture: Architecture, problem: Problem) -> None:
    """Raise `BadSpec` where the data shows that the network does not fit it."""
    kind, wanted = kind_of(architecture), shape_of(architecture)
    if list(problem.inputs) != [kind]:
        found = " and ".join(problem.inputs)
        raise BadSpec(f"architecture: the network reads a {kind}, the features become a {found}.")
    shape = problem.inputs[kind].shape
    if any(side not in (None, found) for side, found in zip(wanted, shape, strict=True)):
        raise BadSpec(
            f"architecture: the network takes rows of {text(wanted)}, the features become {text(shape)} "
            "(a category is a value for each of its levels, one for missing, one for unseen)."
        )
    first = architecture.first()[1]
    numbers = problem.inputs[kind].levels
    if kind == "text" and isinstance(first, Embedding) and first.input_dim < numbers[0]:
        raise BadSpec(
            f"architecture: the Embedding knows {first.input_dim} token numbers, the base's vocabulary has "
            f"{numbers[0]}."
        )
    try:
        units = infer(architecture, shape).output[0]
    except ValidationError as error:
        raise BadSpec(f"architecture: {error.errors()[0]['msg']}.") from None
    misfit = head.misfit(architecture, problem.task, units, problem.outputs)
    if misfit:
        raise BadSpec(f"architecture: {misfit}.")


ALGORITHM = Algorithm(
    name="keras",
    title="Keras network",
    summary="Any network of allowed layers, brought as Keras' JSON config: tables, an image, a text or "
    "sequences.",
    source="Chollet et al. 2015, Keras",
    tasks=("classification", "regression"),
    features=(*TABLE, "image", "text", "sequence"),
    params=KerasParams,
    code="headrace_workers.engine.algorithms.keras:Keras",
    gradients=True,
    streams=True,
    bases=("keras",),
    trial={"architecture": TRIAL, "epochs": 20, "learning_rate": 0.01},
)
