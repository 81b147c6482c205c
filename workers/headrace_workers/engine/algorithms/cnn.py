"""A convolutional network for images and sounds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Encoding
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.algorithms.params import (
    Augmentation,
    BatchNorm,
    Dense,
    Dropout,
    ScheduledParams,
)

Side = Annotated[int, Field(ge=4, le=1024)]


class CnnParams(ScheduledParams):
    """Params of `cnn`; by default conv 32, pool, conv 64, pool, flatten, dense 128, with dropout."""

    encoding = ("image_size", "channels")

    filters: Annotated[
        list[Annotated[int, Field(ge=1, le=4096)]],
        Field(min_length=1, max_length=16, description="Filters of each convolution; a pool follows each."),
    ] = [32, 64]
    kernel_size: Annotated[int, Field(ge=1, le=15, description="Side of the convolutions' kernels.")] = 3
    dense: Dense = [128]
    dropout: Dropout = 0.3
    batch_norm: BatchNorm = False
    augmentation: Augmentation | None = None
    image_size: Annotated[
        list[Side] | None,
        Field(
            min_length=2,
            max_length=2,
            description="Height and width that images are resized to; null: the median of training images, "
            "the longer side 128 at most. Of sounds: mel bands and frames; null: 64 and what it takes.",
        ),
    ] = None
    channels: Annotated[
        Literal[1, 3] | None, Field(description="1 for grey, 3 for colour; null: as the training images.")
    ] = None


class Cnn(Network):
    """Convolutions, each with a pool of two behind it, then dense layers."""

    params_class = CnnParams
    params: CnnParams

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return the size and the channels asked for."""
        assert isinstance(params, CnnParams)
        size = (params.image_size[0], params.image_size[1]) if params.image_size else None
        return Encoding(image_size=size, channels=params.channels)

    def augmentation(self) -> Augmentation | None:
        """Return what is asked for."""
        return self.params.augmentation

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the last hidden layer of a network on pixels from 0 to 255, or standardised spectrograms."""
        from keras import layers

        from headrace_workers.engine.data.audio import MIDDLE, UNIT
        from headrace_workers.engine.data.preprocessing import IMAGE

        p = self.params
        ((name, pixels),) = inputs.items()
        scale, offset = (1 / 255, 0.0) if name == IMAGE else (1 / UNIT, -MIDDLE / UNIT)
        x = layers.Rescaling(scale, offset, name="rescaling")(pixels)
        # The reference network has no padding; an image too small for that keeps its size instead.
        padding = "valid" if _side_left(min(x.shape[1:3]), p) >= 2 else "same"
        for i, filters in enumerate(p.filters, 1):
            x = self.hidden(
                layers.Conv2D, f"conv_{i}", filters, p.kernel_size, padding=padding, batch_norm=p.batch_norm
            )(x)
            if min(x.shape[1:3]) >= 2:
                x = layers.MaxPooling2D(name=f"pool_{i}")(x)
        x = layers.Flatten(name="flatten")(x)
        if p.dropout:
            x = layers.Dropout(p.dropout, name="dropout_0")(x)
        for i, units in enumerate(p.dense, 1):
            x = self.hidden(layers.Dense, f"dense_{i}", units, batch_norm=p.batch_norm)(x)
            if p.dropout:
                x = layers.Dropout(p.dropout, name=f"dropout_{i}")(x)
        return x


def _side_left(side: int, params: CnnParams) -> int:
    for _ in params.filters:
        side = (side - params.kernel_size + 1) // 2
    return side


ALGORITHM = Algorithm(
    name="cnn",
    title="Convolutional network",
    summary="Images of any size, or sounds as log-mel spectrograms, in one column, to classes or a number.",
    source="LeCun et al. 1998, Gradient-based learning applied to document recognition",
    tasks=("classification", "regression"),
    features=("image", "audio"),
    params=CnnParams,
    streams=True,
    code="headrace_workers.engine.algorithms.cnn:Cnn",
    gradients=True,
    single_feature=True,
    bases=("cnn",),
)
