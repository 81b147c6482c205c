"""Versions that vote, are averaged, or are weighed by what they say of rows that they did not learn from.

For a stack there are two kinds of such rows. With ``folds``, the members are trained anew without each fold
of the training rows, and predict it: the stack learns from all training rows and needs no validation rows,
but each member costs that many trainings. Without, it learns on the validation rows: at once, from fewer
rows. That is the way for rows that were divided by time, and for members that cannot be trained anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from headrace.errors import BadSpec
from headrace.specs.algorithms import Algorithm, Params
from headrace.specs.base import RefText, TaskType
from headrace_workers.engine.algorithms.base import Arrays, Monitor, Problem
from headrace_workers.engine.algorithms.estimator import MODEL_FILE, Estimator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows

TIE = 1e-3
"""How much the mean of the probabilities counts beside the votes: it decides between equal ones."""


class EnsembleParams(Params):
    """Params of `ensemble`."""

    models: Annotated[
        list[RefText],
        Field(max_length=20, description="The versions to combine, two or more, of one target and split."),
    ] = []
    method: Annotated[
        Literal["average", "vote", "stack"],
        Field(
            description="average: the mean of probabilities or values; vote: each member has its class, the "
            "most votes win; stack: a linear model of what they say, fitted on rows that they have not "
            "seen.",
        ),
    ] = "average"
    folds: Annotated[
        int | None,
        Field(
            ge=2,
            le=20,
            description="For stack: the members are trained anew without each fold of the training rows, and "
            "it is fitted on what they say of these folds; null: it is fitted on validation rows.",
        ),
    ] = None
    weights: Annotated[
        list[Annotated[float, Field(ge=0, le=1e6)]] | None,
        Field(description="How much each member counts, for average and vote; null: all the same."),
    ] = None
    l2: Annotated[float, Field(gt=0, le=1e6, description="Penalty on the weights of a stack.")] = 1.0

    @model_validator(mode="after")
    def _folds_for_a_stack(self) -> EnsembleParams:
        if self.folds is not None and self.method != "stack":
            raise ValueError(
                f"folds: nothing is fitted for method {self.method}; should be null, or method stack"
            )
        return self

    @model_validator(mode="after")
    def _one_weight_each(self) -> EnsembleParams:
        if self.weights is None:
            return self
        if self.method == "stack":
            raise ValueError("weights: a stack finds its weights itself; should be null")
        if len(self.weights) != len(self.models) or not any(self.weights):
            raise ValueError(
                f"weights: should be {len(self.models)} numbers, not all 0, one for each of models"
            )
        return self

    def misfits(self, task: TaskType) -> dict[str, str]:
        """One version is no ensemble, and numbers have no votes."""
        if len(self.models) < 2:
            return {"models": "should name two versions or more"}
        if self.method == "vote" and task == "regression":
            return {"method": "vote is for classification; should be average or stack"}
        return {}

    def folds_of_members(self) -> int | None:
        """See `Params.folds_of_members`."""
        return self.folds


class Ensemble(Estimator):
    """Rows are what the members say; of rows that they have not seen a stack learns, the others nothing."""

    params_class = EnsembleParams
    params: EnsembleParams

    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """Return the linear model of a stack (Wolpert 1992), else None.

        Raises `BadSpec` when there are no rows to learn from, or all are of one class.
        """
        if self.params.method != "stack":
            return None
        unseen = validation if self.params.folds is None else training
        if unseen is None:
            raise BadSpec(
                "split.validation: without params.folds a stack learns on validation rows, from which no "
                "member has learned; there are none."
            )
        table, targets = self.all_rows(unseen)
        if self.problem.task == "regression":
            from sklearn.linear_model import Ridge

            return Ridge(alpha=self.params.l2).fit(table, targets)
        if len(set(targets.tolist())) < 2:
            raise BadSpec(
                f"params.method: of {unseen.count} rows for a stack to learn on, all are of one class."
            )
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=1 / self.params.l2, max_iter=1000).fit(table, targets)

    def block(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the members say together."""
        import numpy as np

        outputs = self.problem.outputs
        if self.model is not None:
            if self.problem.task == "regression":
                return np.asarray(self.model.predict(table))
            found = np.zeros((len(table), outputs))
            # A class of which there was no row to learn on has no weights, and no probability.
            found[:, self.model.classes_] = self.model.predict_proba(table)
            return found
        said = table.reshape(len(table), -1, outputs)
        weights = self._weights()
        mean = np.einsum("nmk,m->nk", said, weights)
        if self.problem.task == "regression":
            return np.asarray(mean[:, 0])
        if self.params.method == "vote":
            votes = said.argmax(axis=2)[:, :, None] == np.arange(outputs)
            mean = (np.einsum("nmk,m->nk", votes, weights) + TIE * mean) / (1 + TIE)
        return np.asarray(mean / np.maximum(mean.sum(axis=1, keepdims=True), np.finfo(float).tiny))

    def learned(self) -> Arrays:
        """Return the weights."""
        if self.model is None:
            return {"weights": self._weights()}
        return {"coefficients": self.model.coef_, "intercept": self.model.intercept_}

    def save(self, folder: Path) -> None:
        """Write the linear model of a stack; there is nothing else."""
        if self.model is not None:
            super().save(folder)

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Estimator:
        """Return what `save` wrote."""
        if (folder / MODEL_FILE).exists():
            return super().load(folder, params, problem)
        return cls(params, problem)

    def _weights(self) -> NDArray[np.float64]:
        import numpy as np

        weights = np.array(self.params.weights or [1.0] * len(self.params.models))
        found: NDArray[np.float64] = weights / weights.sum()
        return found


ALGORITHM = Algorithm(
    name="ensemble",
    title="Ensemble",
    summary="Versions of one target as one: votes, averages, or a stack; whatever columns these take.",
    source="Wolpert 1992, Stacked generalization; Kittler et al. 1998, On combining classifiers",
    tasks=("classification", "regression"),
    features=(
        "number",
        "integer",
        "boolean",
        "category",
        "timestamp",
        "text",
        "image",
        "audio",
        "sequence",
    ),
    params=EnsembleParams,
    code="headrace_workers.engine.algorithms.ensemble:Ensemble",
    combines=True,
    trial={"models": ["member@1", "member@2"], "method": "stack"},
    random=False,
)
