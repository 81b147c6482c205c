"""Matrix factorization: users and items by what they have in common."""

from __future__ import annotations

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.params import L2
from headrace_workers.engine.algorithms.recommender import IDS, Recommender, RecommenderParams, Side, Tower


class MatrixFactorizationParams(RecommenderParams):
    """Params of `matrix_factorization`."""

    l2: L2 = 0.06


class MatrixFactorization(Recommender):
    """A vector and a bias of its own for every user and item."""

    params_class = MatrixFactorizationParams

    def tower(self, side: Side) -> Tower:
        """See `Recommender.tower`."""
        factors = self.numbered(side, "factors", self.params.factors)
        bias = self.numbered(side, "bias", 1, spread=0.0)
        return lambda numbers, _: (factors(numbers), bias(numbers))


ALGORITHM = Algorithm(
    name="matrix_factorization",
    title="Matrix factorization",
    summary="From ratings, what users would rate an item; from clicks, which items they would take to.",
    source="Koren, Bell, Volinsky 2009, Matrix factorization techniques for recommender systems",
    tasks=("recommendation",),
    features=IDS,
    params=MatrixFactorizationParams,
    code="headrace_workers.engine.algorithms.matrix_factorization:MatrixFactorization",
    needs_features=False,
    trial={"epochs": 20, "learning_rate": 0.02, "factors": 8, "negatives": 8, "l2": 0.0, "batch_size": 64},
)
