"""Recommendation: what users would rate an item, or which items they would take to.

A row is a user and an item, with a rating as target; without a target every row is a click. A dataset with
both columns gets a score for each row. One without the item's columns gets the best items for each of its
users, none that the user has met in training: ``user``, ``rank`` (from 1), ``item``, ``score``, ``new_user``,
a row for each rank, users in the order in which they come first.

By ``hash``, rows are divided by user and item alone: whoever comes back to an item does not take it from
training to test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.errors import BadData
from headrace.specs.jobs import PredictSpec, Split
from headrace_workers.engine.algorithms.base import Arrays, Recommends
from headrace_workers.engine.algorithms.recommender import RecommenderParams
from headrace_workers.engine.data import pairs, split
from headrace_workers.engine.data.encoders import Moments, to_floats
from headrace_workers.engine.data.pairs import Pairs
from headrace_workers.engine.data.preprocessing import Preprocessing, check_columns
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.data.seen import Seen
from headrace_workers.engine.data.selection import Selection
from headrace_workers.engine.data.split import Parts
from headrace_workers.engine.data.target import Target
from headrace_workers.engine.tasks import lists
from headrace_workers.engine.tasks.base import PREDICTION, Evaluation, Goal, Predictions, Task

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor
    from headrace_workers.engine.training.pipeline import Training
    from headrace_workers.engine.training.rows import Rows

JSON = dict[str, Any]
NEW_USER, NEW_ITEM = "new_user", "new_item"


class Interactions(Target):
    """The ratings of training rows; of clicks nothing.

    ``low``, ``high``: the least and the largest rating, between which predictions are kept. ``user_bias``,
    ``item_bias``: by how much those of each user and item are above the mean, in units of the rating: the
    trivial answer that a model must beat.
    """

    task: Literal["recommendation"] = "recommendation"
    mean: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0
    user_bias: list[float] = []
    item_bias: list[float] = []

    @property
    def rated(self) -> bool:
        """Whether there are ratings."""
        return self.column is not None


class Recommendation(Task[Interactions]):
    """Values are float64 of shape (n, 3): the score, and whether user and item are new (1 or 0)."""

    target_class = Interactions
    preprocessing_class: ClassVar[type[Pairs]] = Pairs

    def columns(self, training: Training) -> list[str]:
        """See `Task.columns`."""
        params = _params(training)
        target = [training.target] if training.target is not None else []
        user, item = params.features()
        return [params.user, params.item, *user, *item, *target]

    def divide(self, training: Training) -> Parts:
        """See `Task.divide`."""
        params = _params(training)
        training.reader.require([params.user, params.item], "params")
        hashed = [params.user, params.item]
        return split.divide(training.reader, training.spec.split, [], training.target, hashed)

    def tested(
        self, reader: Reader, rule: Split, columns: Preprocessing, target: Interactions
    ) -> NDArray[np.bool_]:
        """See `Task.tested`."""
        assert isinstance(columns, Pairs), "what recommendations are made from"
        hashed = [columns.user.column, columns.item.column]
        return np.asarray(split.divide(reader, rule, [], target.column, hashed) == split.TEST)

    def fit(self, training: Training) -> tuple[Pairs, Interactions]:
        """See `Task.fit`."""
        params, name = _params(training), training.target
        moments, ends = Moments(), [np.inf, -np.inf]

        def noted() -> Iterator[pa.RecordBatch]:
            for batch in training.batches(split.TRAINING):
                if name is not None:
                    ratings = to_floats(batch.column(name))
                    moments.add(ratings)
                    ends[:] = min(ends[0], ratings.min()), max(ends[1], ratings.max())
                yield batch

        columns = pairs.fit(noted(), params.user, params.item, params.features(), training.reader.types)
        if not (columns.user.ids and columns.item.ids):
            raise BadData("No training row has both a user and an item.")
        if name is None:
            return columns, Interactions(column=None, type=None)
        mean, scale = moments.mean_and_scale(name)
        kind = training.reader.types[name]
        low, high = map(float, ends)
        return columns, Interactions(column=name, type=kind, mean=mean, scale=scale, low=low, high=high)

    def encode_target(
        self, target: Interactions, batch: pa.RecordBatch
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See `Task.encode_target`."""
        if target.column is None:
            return super().encode_target(target, batch)
        encoded = (to_floats(batch.column(target.column)) - target.mean) / target.scale
        return encoded.astype(np.float32), np.isfinite(encoded)

    def goal(self, target: Interactions) -> Goal:
        """See `Task.goal`."""
        return Goal(1, target.scale, () if target.rated else (0,))

    def finish(self, training: Training, predictor: Predictor, rows: Rows) -> Interactions:
        """Return the target with the biases of users and items."""
        from headrace_workers.engine.evaluation import biases

        target: Interactions = predictor.target
        if not target.rated:
            return target
        columns: Pairs = predictor.preprocessing  # type: ignore[assignment]
        of_user, of_item = biases.fit(rows, columns.user.unknown, columns.item.unknown)
        scaled = {"user_bias": of_user * target.scale, "item_bias": of_item * target.scale}
        return target.model_copy(update={name: values.tolist() for name, values in scaled.items()})

    def values(self, predictor: Predictor, inputs: Arrays) -> NDArray[np.float64]:
        """See `Task.values`."""
        columns: Pairs = predictor.preprocessing  # type: ignore[assignment]
        scores = self.decode(predictor.target, predictor.learner.predict(inputs))
        return np.stack([scores, *(columns.new(side, inputs[side]) for side in ("user", "item"))], axis=1)

    def decode(self, target: Interactions, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return ratings in their own units, none beyond those of training; scores of clicks as they are."""
        numbers = values.astype(np.float64)
        if not target.rated:
            return numbers
        return np.clip(numbers * target.scale + target.mean, target.low, target.high)

    def outputs(self, target: Interactions) -> list[JSON]:
        """See `Task.outputs`."""
        flags = [{"name": name, "type": "boolean"} for name in (NEW_USER, NEW_ITEM)]
        return [{"name": PREDICTION, "type": "number"}, *flags]

    def arrays(
        self, target: Interactions, values: NDArray[Any], names: Sequence[str], bad: NDArray[np.bool_]
    ) -> dict[str, pa.Array]:
        """See `Task.arrays`."""
        found = {
            PREDICTION: pa.array(values[:, 0], pa.float64(), mask=bad),
            NEW_USER: pa.array(values[:, 1] > 0, mask=bad),
            NEW_ITEM: pa.array(values[:, 2] > 0, mask=bad),
        }
        return {name: found[name] for name in names}

    def answers(self, target: Interactions, values: NDArray[Any]) -> list[JSON]:
        """Return ``{"value", "new_user", "new_item"}`` for each row."""
        return [
            {"value": float(score), NEW_USER: bool(user), NEW_ITEM: bool(item)}
            for score, user, item in values.tolist()
        ]

    def check_input(self, predictor: Predictor, schema: pa.Schema) -> None:
        """See `Task.check_input`: without the columns of items, those of users are enough."""
        columns: Pairs = predictor.preprocessing  # type: ignore[assignment]
        if not lists.asked(columns, schema.names):
            columns.check(schema)

    def predictions(
        self,
        predictor: Predictor,
        spec: PredictSpec,
        reader: Reader,
        names: Sequence[str],
        told: Callable[[float], None],
    ) -> Predictions | None:
        """See `Task.predictions`."""
        columns: Pairs = predictor.preprocessing  # type: ignore[assignment]
        if lists.asked(columns, reader.schema.names):
            return lists.predictions(predictor, spec, reader, told)
        return None

    def answer(self, predictor: Predictor, instances: Sequence[JSON]) -> JSON | None:
        """See `Task.answer`."""
        return lists.answer(predictor, instances)

    def check(self, target: Interactions, schema: pa.Schema) -> None:
        """See `Task.check`: of clicks nothing is needed but users and items."""
        if target.column is None or target.type is None:
            return
        super().check(target, schema)
        check_columns(schema, [(target.column, target.type)])

    def evaluation(self, predictor: Predictor, slices: Sequence[str], seed: int) -> Evaluation:
        """Not used: users are evaluated, not rows."""
        raise NotImplementedError("evaluate goes its own way")

    def validate(self, training: Training, predictor: Predictor, rows: Selection) -> JSON:
        """See `Task.validate`. What users have met in training rows alone is not listed here."""
        learner, columns = predictor.learner, predictor.preprocessing
        assert isinstance(learner, Recommends), "what recommendations come from"
        assert isinstance(columns, Pairs), "what recommendations are made from"
        encoded = (columns.encode(batch).inputs for batch in training.batches(split.TRAINING))
        pairs = ((inputs["user"], inputs["item"]) for inputs in encoded)
        everything = learner.seen
        learner.seen = Seen.collect(pairs, columns.user.unknown, columns.item.unknown)
        try:
            return super().validate(training, predictor, rows)
        finally:
            learner.seen = everything

    def evaluate(self, predictor: Predictor, rows: Selection, slices: Sequence[str], seed: int) -> JSON:
        """See `Task.evaluate`."""
        from headrace_workers.engine.evaluation import recommendation

        return recommendation.evaluate(predictor, rows, seed)


def _params(training: Training) -> RecommenderParams:
    assert isinstance(training.params, RecommenderParams), "an algorithm for recommendations has these"
    return training.params


TASK = Recommendation()
