"""Images by what another network has learned of images."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from headrace.errors import BadSpec
from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Learner, Problem
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

    There is no network before `start_from`. The base's normalisations keep to what they have learned.
    """

    params_class = ImageTransferParams
    params: ImageTransferParams

    def __init__(self, params: Params, problem: Problem, model: Any = None) -> None:
        self._backbone: Any = None
        super().__init__(params, problem, model)

    def start_from(self, base: Learner) -> None:
        """Take over all of the network ``base`` but its output."""
        import keras

        if not isinstance(base, Network) or len(base.model.layers) < 3:
            raise BadSpec("base: it has no layer between its input and its output to start from.")
        below = base.model.layers[-1].input
        backbone = keras.Model(base.model.inputs, below, name="backbone")
        # The base stays as it is.
        self._backbone = keras.models.clone_model(backbone)
        self._backbone.set_weights(backbone.get_weights())
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


ALGORITHM = Algorithm(
    name="image_transfer",
    title="Transfer of a convolutional network",
    summary="Images to classes, starting from a network of one's own that knows images: few rows are enough.",
    source="Yosinski et al. 2014, How transferable are features in deep neural networks?",
    tasks=("classification", "regression"),
    features=("image",),
    params=ImageTransferParams,
    code="headrace_workers.engine.algorithms.image_transfer:ImageTransfer",
    gradients=True,
    single_feature=True,
    streams=True,
    bases=("cnn", "image_transfer"),
    needs_base=True,
    trial={"epochs": 6, "frozen_epochs": 3, "learning_rate": 0.01},
)
