"""Networks that make a row again of few numbers."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.algorithms.unlabelled_params import EMBEDDED, AutoencoderParams

if TYPE_CHECKING:
    from headrace_workers.engine.training.objective import Objective
    from headrace_workers.engine.training.rows import Rows

MEAN, DECODER, RECONSTRUCTION = "mean", "decoder", "reconstruction"
"""Names of layers: what takes the training rows' mean away, and what makes rows again."""


class Autoencoder(Network):
    """Dense layers down to the embedding, and the same back; of all inputs of a row, flat.

    The network gives, for each row, the embedding and the two errors of `engine.tasks.embedding`; the first
    of these is the loss.
    """

    params_class = AutoencoderParams
    params: AutoencoderParams

    @property
    def width(self) -> int:
        """How many encoded values a row has."""
        return sum(prod(spec.shape) for spec in self.problem.inputs.values())

    @property
    def components(self) -> int:
        """How many numbers an embedding has."""
        if self.params.components is not None:
            return self.params.components
        return EMBEDDED if self.problem.task == "embedding" else min(max(self.width // 3, 1), 64)

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the outputs of the network."""
        from keras import layers

        centred = self.centred(inputs)
        embedding = layers.Dense(self.components, name="embedding")(self.encoder(centred))
        return layers.Concatenate(name="output")([embedding, *self.errors(centred, self.decoder(embedding))])

    def output(self, tensor: Any) -> Any:
        """Return the tensor as it is; see `build`."""
        return tensor

    def objective(self, training: Rows) -> Objective:
        """Return the error of what is made again; the training rows' mean is put into its layer."""
        from headrace_workers.engine.training.reconstruction import OutputError

        self.put_mean(training)
        return OutputError()

    def put_mean(self, training: Rows) -> None:
        """Tell the network the mean of ``training`` rows."""
        from headrace_workers.engine.training.reconstruction import mean_of

        self.model.get_layer(MEAN).moving_mean.assign(mean_of(training))

    def centred(self, inputs: dict[str, Any]) -> Any:
        """Return all inputs as one vector, pixels from 0 to 1, less the training rows' mean."""
        from keras import layers

        parts = []
        for name, tensor in inputs.items():
            if name == "image":
                tensor = layers.Rescaling(1 / 255, name="pixels")(tensor)
            parts.append(layers.Flatten(name=f"{name}_flat")(tensor))
        flat = layers.Concatenate(name="flat")(parts) if len(parts) > 1 else parts[0]
        # Its variance stays 1: it is there for a mean that is no weight and yet part of the file.
        mean = layers.BatchNormalization(center=False, scale=False, epsilon=0.0, trainable=False, name=MEAN)
        return mean(flat, training=False)

    def encoder(self, tensor: Any) -> Any:
        """Return the last hidden layer before the embedding."""
        from keras import layers

        for i, units in enumerate(self.params.hidden, 1):
            tensor = self.hidden(layers.Dense, f"encoder_{i}", units)(tensor)
        return tensor

    def decoder(self, tensor: Any) -> Any:
        """Return rows made again of an embedding, less the mean."""
        from keras import layers

        for i, units in enumerate(reversed(self.params.hidden), 1):
            tensor = self.hidden(layers.Dense, f"{DECODER}_{i}", units)(tensor)
        return layers.Dense(self.width, name=RECONSTRUCTION, **self.kernel())(tensor)

    def errors(self, centred: Any, again: Any) -> list[Any]:
        """Return the mean squared error of ``again``, and that of the mean, each of shape (n, 1)."""
        from keras import layers

        left = layers.Subtract(name="left")([centred, again])
        return [
            layers.Rescaling(1 / self.width, name=f"{name}_error")(
                layers.Dot(axes=1, name=f"{name}_squares")([each, each])
            )
            for name, each in ((RECONSTRUCTION, left), (MEAN, centred))
        ]


ALGORITHM = Algorithm(
    name="autoencoder",
    title="Autoencoder",
    summary="Tables and images to few numbers, or to how unlike the others a row is, through hidden layers.",
    source="Hinton, Salakhutdinov 2006, Reducing the dimensionality of data with neural networks",
    tasks=("embedding", "anomaly"),
    features=("number", "integer", "boolean", "category", "timestamp", "image"),
    params=AutoencoderParams,
    code="headrace_workers.engine.algorithms.autoencoder:Autoencoder",
    streams=True,
    trial={"epochs": 30, "learning_rate": 0.01},
)
