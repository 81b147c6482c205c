"""Images by what another network has learned of images."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from headrace.errors import BadSpec
from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Problem
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.algorithms.params import Augmentation, Dropout, Epochs, NetworkParams


class ImageTransferParams(NetworkParams):
    """Params of `image_transfer`."""

    epochs: Epochs = 8
    frozen_epochs: Annotated[
        int, Field(ge=0, le=10_000, description="In so many epochs, the first, only the new output learns.")
    ] = 4
    fine_tune_rate: Annotated[
        float,
        Field(gt=0, le=1, description="What the learning rate is multiplied by once everything learns."),
    ] = 0.1
    dropout: Dropout = 0.0
    augmentation: Augmentation | None = None

    @field_validator("schedule")
    @classmethod
    def _no_schedule(cls, value: str | None) -> str | None:
        if value is not None:
            raise ValueError("should be null: fine_tune_rate sets the learning rate here")
        return value


class ImageTransfer(Network):
    """All but the output layer of a base, with a new output: at first frozen, then fine-tuned.

    There is no network before `adopt`. The base's normalisations keep to what they have learned.
    """

    params_class = ImageTransferParams
    params: ImageTransferParams

    def __init__(self, params: Params, problem: Problem, model: Any = None) -> None:
        self._backbone: Any = None
        super().__init__(params, problem, model)

    def adopt(self, backbone: Any) -> None:
        """Take over all of the network ``backbone`` but its output."""
        import keras

        below = _below_the_output(backbone)
        if [*backbone.input] != ["image"] or below is None or len(below.shape) not in (2, 4):
            raise BadSpec("base: it has no layer between an image and its output to start from.")
        body = keras.Model(backbone.input, below, name="backbone")
        # The base stays as it is.
        self._backbone = keras.models.clone_model(body)
        self._backbone.set_weights(body.get_weights())
        self.use(self.assemble())

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return what the backbone makes of the images, flat."""
        from keras import layers

        x = self._backbone(inputs, training=False)
        if len(x.shape) > 2:
            x = layers.GlobalAveragePooling2D(name="average")(x)
        return layers.Dropout(self.params.dropout, name="dropout_0")(x) if self.params.dropout else x

    def frozen(self) -> tuple[int, float]:
        """See `Network.frozen`."""
        return self.params.frozen_epochs, self.params.fine_tune_rate

    def augmentation(self) -> Augmentation | None:
        """Return what is asked for."""
        return self.params.augmentation

    def assemble(self) -> Any:
        """See `Network.assemble`; there is no model before there is a backbone."""
        return super().assemble() if self._backbone is not None else None


def _below_the_output(model: Any) -> Any:
    """Return the tensor that goes into the output of ``model``, None where there is nothing below.

    The output is the last dense layer, where only activations follow it; else ``model`` has none.
    """
    from keras import layers

    tensor = model.outputs[0]
    while True:
        made = tensor._keras_history.operation
        if isinstance(made, layers.InputLayer):
            return None
        if isinstance(made, layers.Dense):
            below = made.input
            entry = isinstance(below._keras_history.operation, layers.InputLayer | layers.Rescaling)
            return None if entry else below
        if not isinstance(made, layers.Softmax | layers.Activation | layers.ReLU | layers.Concatenate):
            return model.outputs[0]
        # Of a network of one unit for two classes: the second is what it gives, the first zero times that.
        tensor = made.input[-1] if isinstance(made.input, list) else made.input


ALGORITHM = Algorithm(
    name="image_transfer",
    title="Transfer of a convolutional network",
    summary="Images to classes, from a network that knows images, of one's own or uploaded: few rows do.",
    source="Yosinski et al. 2014, How transferable are features in deep neural networks?",
    tasks=("classification", "regression"),
    features=("image",),
    params=ImageTransferParams,
    code="headrace_workers.engine.algorithms.image_transfer:ImageTransfer",
    gradients=True,
    single_feature=True,
    streams=True,
    bases=("cnn", "image_transfer", "keras"),
    needs_base=True,
    trial={"epochs": 6, "frozen_epochs": 3, "learning_rate": 0.01},
)
