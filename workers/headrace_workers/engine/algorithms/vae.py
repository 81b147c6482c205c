"""Autoencoders whose embeddings are spread like a normal distribution, so that new rows can be drawn."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.autoencoder import (
    DECODER,
    MEAN,
    RECONSTRUCTION,
    Autoencoder,
)
from headrace_workers.engine.algorithms.base import Arrays, TensorSpec
from headrace_workers.engine.algorithms.unlabelled_params import AutoencoderParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.forward import Forward
    from headrace_workers.engine.training.objective import Objective
    from headrace_workers.engine.training.rows import Rows

LARGEST = 6.0
"""Logarithms of variances are between this and its negative."""


class VaeParams(AutoencoderParams):
    """Params of `vae`."""

    beta: Annotated[
        float,
        Field(
            gt=0,
            le=1000,
            description="How much it counts that embeddings are spread like a normal distribution: more "
            "makes samples more regular, and rows that are made again less alike.",
        ),
    ] = 0.1


class Vae(Autoencoder):
    """As `Autoencoder`, of an embedding that is drawn from a normal distribution while it learns.

    The loss is the error and, divided by the number of encoded values, ``beta`` times the divergence of that
    distribution from the standard one (Kingma, Welling 2014, appendix B). Else the embedding is the mean.
    """

    params_class = VaeParams
    params: VaeParams

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the outputs: before the two errors stands the divergence."""
        from keras import layers

        centred = self.centred(inputs)
        hidden = self.encoder(centred)
        mean = layers.Dense(self.components, name="embedding")(hidden)
        bounded = layers.Dense(self.components, activation="tanh", name="spread")(hidden)
        log_variance = layers.Rescaling(LARGEST, name="log_variance")(bounded)
        half = layers.Rescaling(0.5, name="half")(log_variance)
        deviation = layers.Activation("exponential", name="deviation")(half)
        # Noise on zeros, and none of it after training.
        zeros = layers.Rescaling(0.0, name="zeros")(mean)
        noise = layers.GaussianNoise(1.0, seed=self.problem.seed, name="noise")(zeros)
        drawn = layers.Add(name="drawn")([mean, layers.Multiply(name="away")([deviation, noise])])
        parts = [
            layers.Dot(axes=1, name="embedding_squares")([mean, mean]),
            layers.Dot(axes=1, name="variances")([deviation, deviation]),
            self._sum(layers.Rescaling(-1.0, offset=-1.0, name="less")(log_variance)),
        ]
        divergence = layers.Rescaling(0.5 / self.width, name="divergence")(layers.Add(name="sum")(parts))
        errors = self.errors(centred, self.decoder(drawn))
        return layers.Concatenate(name="output")([mean, divergence, *errors])

    def objective(self, training: Rows) -> Objective:
        """See `Autoencoder.objective`."""
        from headrace_workers.engine.training.reconstruction import OutputError

        self.put_mean(training)
        return OutputError(self.params.beta)

    def predict(self, inputs: Arrays) -> NDArray[np.float32]:
        """Return what `engine.tasks.embedding` has of a learner."""
        import numpy as np

        return np.delete(super().predict(inputs), self.components, axis=1)

    def sample(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return ``count`` rows as the decoder makes them of embeddings that ``rng`` draws.

        They are encoded, all inputs one after another, pixels from 0 to 1.
        """
        import numpy as np

        drawn = rng.standard_normal((count, self.components), np.float32)
        mean: NDArray[np.float32] = self.model.get_layer(MEAN).moving_mean.numpy()
        return self._decoder({"drawn": drawn}) + mean

    @cached_property
    def _decoder(self) -> Forward:
        from dataclasses import replace

        import keras

        from headrace_workers.engine.training.forward import Forward

        drawn = keras.Input((self.components,), name="drawn")
        tensor: Any = drawn
        for i in range(1, len(self.params.hidden) + 1):
            tensor = self.model.get_layer(f"{DECODER}_{i}")(tensor)
        tensor = self.model.get_layer(RECONSTRUCTION)(tensor)
        problem = replace(self.problem, inputs={"drawn": TensorSpec((self.components,), "float32")})
        return Forward(keras.Model({"drawn": drawn}, tensor), problem)

    def _sum(self, tensor: Any) -> Any:
        """Return the sum of a row's values, shape (n, 1)."""
        from keras import layers

        width = tensor.shape[1]
        across = layers.Reshape((width, 1), name="across")(tensor)
        mean = layers.GlobalAveragePooling1D(name="average")(across)
        return layers.Rescaling(float(width), name="total")(mean)


ALGORITHM = Algorithm(
    name="vae",
    title="Variational autoencoder",
    summary="As autoencoder, and new rows or images can be drawn from what it has learned.",
    source="Kingma, Welling 2014, Auto-encoding variational Bayes",
    tasks=("embedding", "anomaly"),
    features=("number", "integer", "boolean", "category", "timestamp", "image"),
    params=VaeParams,
    code="headrace_workers.engine.algorithms.vae:Vae",
    streams=True,
    samples=True,
    trial={"epochs": 30, "learning_rate": 0.01},
)
