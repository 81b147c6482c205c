"""What the algorithms share that learn what users take to: they differ in their towers.

A user and an item each become a vector and a bias; the score of the two is the product of the vectors plus
both biases. So the best of all items for many users are the largest entries of a product of two matrices.

From ratings, scores learn to be the ratings. From clicks, which have no target, they learn to be higher for
the item of a row than for `RecommenderParams.negatives` others, drawn at random: the cross-entropy of a
softmax over these few (Wu et al. 2024, On the effectiveness of sampled softmax loss for item recommendation).

An unknown user is the average of the known ones, an unknown item nothing but what its features say.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zipfile import BadZipFile

from pydantic import Field

from headrace.errors import BadData
from headrace.specs.algorithms import Params
from headrace.specs.base import Column, ColumnType, TaskType
from headrace_workers.engine.algorithms.base import Arrays, Monitor, Problem, Recommends, TensorSpec
from headrace_workers.engine.algorithms.network import OUTPUT, Network
from headrace_workers.engine.algorithms.params import (
    BatchSize,
    EarlyStopping,
    Epochs,
    LearningRate,
    NetworkParams,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.objective import Objective
    from headrace_workers.engine.training.rows import Rows

Side = Literal["user", "item"]
SIDES: tuple[Side, Side] = ("user", "item")
TABLES: dict[Side, str] = {"user": "user_table", "item": "item_table"}
"""The inputs by which the features of users and items come, where there are any."""

Tower = Callable[[Any, Any], tuple[Any, Any]]
"""From numbers, shape (…), and features, (…, width) or None, to vectors, (…, factors), and biases, (…, 1)."""

IDS: tuple[ColumnType, ...] = ("integer", "category", "text")
"""The types of columns that name users and items."""

FILE, CATALOGUE, STARTS, ITEMS = "learned.npz", "catalogue", "seen/starts", "seen/items"
NEVER = -1e9
"""The score of a negative that is the row's own item."""

SPREAD = 0.05
"""The standard deviation of vectors before they learn."""

ColumnName = Annotated[str, Field(min_length=1, max_length=1000)]


class RecommenderParams(NetworkParams):
    """Params of every recommender. ``l2`` is of the vectors and biases of each row."""

    user: Annotated[ColumnName, Field(description="The column that says who.")] = "user"
    item: Annotated[ColumnName, Field(description="The column that says what.")] = "item"
    factors: Annotated[int, Field(ge=1, le=4096, description="The length of each vector.")] = 32
    negatives: Annotated[
        int,
        Field(
            ge=1,
            le=4096,
            description="From clicks: from how many items, drawn at random, that of a row must stand out.",
        ),
    ] = 128
    epochs: Epochs = 30
    batch_size: BatchSize = 512
    learning_rate: LearningRate = 0.005
    early_stopping: EarlyStopping = 3

    def features(self) -> tuple[list[str], list[str]]:
        """Return the columns that say something of the user, and of the item."""
        return [], []

    def narrows(self) -> dict[str, Any]:
        """See `Params.narrows`: features are named here."""
        return {"features": ()}

    def named_columns(self) -> dict[str, str | None]:
        """See `Params.named_columns`."""
        return {"user": self.user, "item": self.item}

    def list_inputs(self) -> list[str]:
        """See `Params.list_inputs`."""
        return [self.item, *self.features()[1]]

    def misfit_dataset(self, columns: Sequence[Column], target: str | None) -> dict[str, str]:
        """See `Params.misfit_dataset`."""
        types = {column.name: column.type for column in columns}
        found = {
            field: f"{name!r} is a {types[name]} column; who and what is said by {', '.join(IDS)}"
            for field, name in (("user", self.user), ("item", self.item))
            if types[name] not in IDS
        }
        if self.loss is not None and target is None:
            found["loss"] = "is for ratings; clicks, which have no target, have their own: should be null"
        return found

    def misfits(self, task: TaskType) -> dict[str, str]:
        """See `Params.misfits`."""
        found = super().misfits(task)
        if self.loss == "crossentropy":
            found["loss"] = "is that of clicks without being asked for; mse, mae and huber are for ratings"
        return found


class Recommender(Network, Recommends):
    """A network that learns from pairs of a user and an item.

    ``problem.inputs`` are ``user`` and ``item``, numbers of which the last is that of the unknown, and maybe
    a table of features of each. ``problem.target_shape`` is () for ratings, (0,) for clicks.
    """

    params_class = RecommenderParams
    params: RecommenderParams

    @abstractmethod
    def tower(self, side: Side) -> Tower:
        """Return new layers as a function; every call of it uses the same ones."""

    @property
    def clicks(self) -> bool:
        """Whether there are no ratings to learn."""
        return self.problem.target_shape == (0,)

    def known(self, side: Side) -> int:
        """Return how many users or items there are to learn of."""
        return self.problem.inputs[side].levels[0] - 1

    def numbered(self, side: Side, name: str, size: int, spread: float = SPREAD) -> Any:
        """Return a layer with ``size`` values to learn for each user or item, zeros for the unknown."""
        import keras

        layer = keras.layers.Embedding(
            self.known(side) + 1,
            size,
            embeddings_initializer=keras.initializers.RandomNormal(0.0, spread),
            name=f"{side}_{name}",
        )
        layer.build(())
        self._give(layer, lambda values: 0.0)
        self._layers[side].append(layer)
        return layer

    def use(self, model: Any) -> None:
        """See `Network.use`."""
        from headrace_workers.engine.data.seen import Seen
        from headrace_workers.engine.training.fit import Fit
        from headrace_workers.engine.training.forward import Forward
        from headrace_workers.engine.training.negatives import INPUT, Negatives

        self.model = model
        self.seen = Seen.nothing(self.known("user"))
        self._ranking: Any = None
        self._forward = validating = Forward(model, self.problem)
        negatives = None
        if self.clicks:
            negatives = Negatives(self.problem.seed, self.known("item"), self.params.negatives)
            inputs = self.problem.inputs | {INPUT: TensorSpec((negatives.count,), "int32")}
            contest = replace(self.problem, inputs=inputs, outputs=1 + negatives.count)
            validating = Forward(self._learning, contest)
        self._fit = Fit(
            self._learning, self.params, self.problem, validating, self.objective, negatives=negatives
        )

    def objective(self, training: Rows) -> Objective:
        """See `Network.objective`."""
        from headrace_workers.engine.training.objective import SampledSoftmax

        return SampledSoftmax() if self.clicks else super().objective(training)

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        """Train by mini-batches; see `Learner.fit`."""
        from headrace_workers.engine.data.seen import Seen

        if self._catalogue is not None:
            self._catalogue.embeddings.assign(self._features_of_items(training))
        super().fit(training, validation, monitor)
        parts = [part for part in (training, validation) if part is not None]
        pairs = ((inputs["user"], inputs["item"]) for part in parts for inputs, _ in part.blocks())
        self.seen = Seen.collect(pairs, self.known("user"), self.known("item"))
        for layer in self._layers["user"]:
            self._give(layer, lambda values: values.mean(axis=0, dtype="float64"))

    def rank(self, inputs: Arrays, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """See `Recommends.rank`."""
        from headrace_workers.engine.training.ranking import Ranking

        if self._ranking is None:
            self._ranking = Ranking(self._sides["user"], self._sides["item"], self._all_items())
        found: tuple[NDArray[np.int32], NDArray[np.float32]] = self._ranking.top(inputs, k, self.seen)
        return found

    def learned(self) -> Arrays:
        """Return the weights by their path in the model, what was seen, and the features of the items."""
        found = super().learned() | {STARTS: self.seen.starts, ITEMS: self.seen.items}
        if self._catalogue is not None:
            found[CATALOGUE] = self._catalogue.embeddings.numpy()
        return found

    def save(self, folder: Path) -> None:
        """Write all that is learned as a file of NumPy's, without pickles."""
        import numpy as np

        with (folder / FILE).open("xb") as file:
            np.savez(file, allow_pickle=False, **self.learned())

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Recommender:
        """Return the recommender that `save` wrote, able to predict."""
        import numpy as np

        from headrace_workers.engine.data.seen import Seen

        found = cls(params, problem)
        try:
            with np.load(folder / FILE, allow_pickle=False) as arrays:
                for weight in found.model.weights:
                    weight.assign(arrays[weight.path])
                if found._catalogue is not None:
                    found._catalogue.embeddings.assign(arrays[CATALOGUE])
                found.seen = Seen(arrays[STARTS], arrays[ITEMS])
            found.seen.check(found.known("user"), found.known("item"))
        except (ValueError, KeyError, TypeError, OSError, BadZipFile) as error:
            raise BadData(f"{FILE} is not what a recommender writes: {str(error)[:500]}") from None
        return found

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the score of a user and an item, and make the models beside it that share its layers."""
        import keras
        from keras import layers

        self._layers: dict[Side, list[Any]] = {side: [] for side in SIDES}
        towers = {side: self.tower(side) for side in SIDES}
        found = {side: towers[side](inputs[side], inputs.get(TABLES[side])) for side in SIDES}
        self._sides = {
            side: keras.Model({n: inputs[n] for n in (side, TABLES[side]) if n in inputs}, list(found[side]))
            for side in SIDES
        }
        self._catalogue = self._empty_catalogue()
        (user, of_user), (item, of_item) = found["user"], found["item"]
        if self.clicks:
            self._learning = self._contest(inputs, user, towers["item"])
        else:
            product = layers.Dot(1)([self._penalised(user), self._penalised(item)])
            learned = layers.Add()([product, self._penalised(of_user), self._penalised(of_item)])
            self._learning = keras.Model(inputs, learned)
        product = layers.Dot(1, name="product")([user, item])
        return layers.Add(name=OUTPUT)([product, of_user, of_item])

    def assemble(self) -> Any:
        """See `Network.assemble`."""
        import keras

        inputs = {
            name: keras.Input(spec.shape, dtype=spec.dtype, name=name)
            for name, spec in self.problem.inputs.items()
        }
        return keras.Model(inputs, self.build(inputs), name="network")

    def _contest(self, inputs: dict[str, Any], user: Any, tower: Tower) -> Any:
        """Return the model that gives the scores of a row's item and its negatives, in this order."""
        import keras
        from keras import layers, ops

        from headrace_workers.engine.training.negatives import INPUT

        negatives = keras.Input((self.params.negatives,), dtype="int32", name=INPUT)
        own = ops.expand_dims(inputs["item"], 1)
        candidates = ops.concatenate([own, negatives], axis=1)
        items, biases = self._of_candidates(candidates, tower)
        items = ops.concatenate([self._penalised(items[:, :1]), items[:, 1:]], axis=1)
        scores = layers.Dot((1, 2))([self._penalised(user), items]) + ops.squeeze(biases, 2)
        same = ops.pad(ops.equal(negatives, own), ((0, 0), (1, 0)))
        return keras.Model(inputs | {INPUT: negatives}, ops.where(same, NEVER, scores))

    def _of_candidates(self, candidates: Any, tower: Tower) -> tuple[Any, Any]:
        """Return vectors and biases of ``candidates``; the tower sees each item once where that is less."""
        from keras import ops

        from headrace_workers.engine.training.negatives import all_items

        count = self.known("item") + 1
        often = count < self.params.batch_size * candidates.shape[1]
        numbers = all_items(count)(candidates) if often else candidates
        vectors, biases = tower(numbers, self._catalogue(numbers) if self._catalogue else None)
        if not often:
            return vectors, biases
        return ops.take(vectors, candidates, axis=0), ops.take(biases, candidates, axis=0)

    def _penalised(self, values: Any) -> Any:
        """Return ``values``, whose squares, summed up for each row, cost something in training."""
        from keras import layers

        l1, l2 = self.params.l1, self.params.l2
        return layers.ActivityRegularization(l1, l2)(values) if l1 or l2 else values

    def _give(self, layer: Any, of: Callable[[NDArray[np.float32]], Any]) -> None:
        """Let the unknown have what ``of`` makes of the values of the known, shape (known, size)."""
        values = layer.embeddings.numpy()
        values[-1] = of(values[:-1])
        layer.embeddings.assign(values)

    def _empty_catalogue(self) -> Any:
        """Return a layer that gives the features of each item; None where there are none."""
        from keras import layers

        table = self.problem.inputs.get(TABLES["item"])
        if table is None:
            return None
        layer = layers.Embedding(self.known("item") + 1, table.shape[0], trainable=False, name=CATALOGUE)
        layer.build(())
        layer.embeddings.assign(layer.embeddings * 0.0)
        return layer

    def _features_of_items(self, training: Rows) -> NDArray[np.float32]:
        """Return the features of each item as its first row in ``training`` has them."""
        import numpy as np

        found: NDArray[np.float32] = np.zeros(self._catalogue.embeddings.shape, np.float32)
        missing = np.ones(len(found), np.bool_)
        for inputs, _ in training.blocks():
            items, first = np.unique(inputs["item"], return_index=True)
            new = missing[items]
            found[items[new]] = inputs[TABLES["item"]][first[new]]
            missing[items[new]] = False
        return found

    def _all_items(self) -> Arrays:
        import numpy as np

        found: Arrays = {"item": np.arange(self.known("item"), dtype=np.int32)}
        if self._catalogue is not None:
            found[TABLES["item"]] = self._catalogue.embeddings.numpy()[:-1]
        return found
