"""Naive Bayes for text, by scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import (
    Arrays,
    Encoding,
    Learner,
    Monitor,
    Problem,
    TextEncoding,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows

MODEL_FILE = "model.skops"
FIRST_TOKEN = 2
"""The numbers below it are no tokens of the vocabulary: padding, and whatever is unknown."""

MAX_TOKENS = 2048


class TextNaiveBayesParams(Params):
    """Params of `text_naive_bayes`."""

    alpha: Annotated[
        float, Field(gt=0, le=1000, description="Added to the count of every token in every class.")
    ] = 1.0
    ngrams: Annotated[
        int, Field(ge=1, le=5, description="Runs of up to so many tokens count as tokens too.")
    ] = 2
    vocabulary: Annotated[
        int, Field(ge=3, le=500_000, description="How many different tokens are known at most.")
    ] = 100_000
    min_count: Annotated[
        int, Field(ge=1, le=1_000_000, description="Tokens that training rows hold less often are unknown.")
    ] = 1
    prior: Annotated[
        Literal["learned", "uniform"],
        Field(description="How likely each class is without a text: as in training rows, or all the same."),
    ] = "learned"


class TextNaiveBayes(Learner):
    """scikit-learn's multinomial naive Bayes. The counts are added up block by block, in bounded memory."""

    params_class = TextNaiveBayesParams

    def __init__(self, params: Params, problem: Problem, model: Any = None) -> None:
        super().__init__(params, problem)
        assert isinstance(params, TextNaiveBayesParams)
        self.params = params
        self._model = model

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return the vocabulary asked for."""
        assert isinstance(params, TextNaiveBayesParams)
        return Encoding(
            text=TextEncoding(
                params.vocabulary,
                max_length=MAX_TOKENS * params.ngrams,
                min_count=params.min_count,
                ngrams=params.ngrams,
                # They tell little of a class, and come between the words of a run.
                singles=False,
            )
        )

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        """Count the tokens of each class."""
        import numpy as np
        from sklearn.naive_bayes import MultinomialNB

        self._model = MultinomialNB(alpha=self.params.alpha, fit_prior=self.params.prior == "learned")
        classes = np.arange(self.problem.outputs)
        # As many as training rows hold: what is added to the count of each token would else be too much.
        size = max(int(inputs["text"].max()) + 1 for inputs, _ in training.blocks())
        done = 0
        for inputs, targets in training.blocks():
            self._model.partial_fit(_counts(inputs["text"], size), targets, classes)
            done += len(targets)
            monitor.progress(done / training.count, f"row {done} of {training.count}")

    def predict(self, inputs: Arrays) -> NDArray[np.float64]:
        """Return probabilities; see `Learner.predict`."""
        import numpy as np

        size = self._model.feature_count_.shape[1]
        return np.asarray(self._model.predict_proba(_counts(inputs["text"], size)))

    def learned(self) -> Arrays:
        """Return the counts."""
        return {"feature_count": self._model.feature_count_, "class_count": self._model.class_count_}

    def save(self, folder: Path) -> None:
        """Write the model as a skops file."""
        from headrace_workers.engine.training.skops_file import save

        save(self._model, folder / MODEL_FILE)

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> TextNaiveBayes:
        """Return the model that `save` wrote."""
        from headrace_workers.engine.training.skops_file import load

        return cls(params, problem, load(folder / MODEL_FILE))


def _counts(tokens: NDArray[np.int32], size: int) -> Any:
    """Return how often each row holds each of the token numbers below ``size``, a sparse matrix.

    The numbers that are no tokens of the vocabulary are never counted.
    """
    import numpy as np
    from scipy.sparse import csr_array

    known = (tokens >= FIRST_TOKEN) & (tokens < size)
    starts = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
    columns = tokens[known]
    counts = csr_array((np.ones(len(columns)), columns, starts), shape=(len(tokens), size))
    counts.sum_duplicates()
    return counts


ALGORITHM = Algorithm(
    name="text_naive_bayes",
    title="Naive Bayes for text",
    summary="One column of text to classes, by counts of tokens; fast, and rows need not fit in memory.",
    source="Manning, Raghavan, Schütze 2008, Introduction to information retrieval, 13.2",
    tasks=("classification",),
    features=("text",),
    params=TextNaiveBayesParams,
    code="headrace_workers.engine.algorithms.text_naive_bayes:TextNaiveBayes",
    runtime="plain",
    single_feature=True,
    random=False,
    streams=True,
)
