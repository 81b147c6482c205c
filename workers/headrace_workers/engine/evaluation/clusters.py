"""Evaluation of clusters: how near rows are to their own and how far from others, how they go with labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.decomposition import PCA

from headrace_workers.engine.data.row_sample import RowSample
from headrace_workers.engine.evaluation.figures import Figures, between_text, explained, mean_of, told
from headrace_workers.engine.evaluation.intervals import Interval, Resamples
from headrace_workers.engine.evaluation.worst import Worst
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.tasks.clustering import CLUSTER, DISTANCE, distance, nearest

JSON = dict[str, Any]
RESAMPLES = 200

MAX_ROWS, MAX_VALUES = 1000, 5_000_000
"""Rows, and encoded values of them, whose distances from each other are taken."""

MAX_LABELLED = 5000
"""Rows of which labels and clusters are resampled together."""

MAX_POINTS = 500
LABEL_METRICS: dict[str, Callable[[Any, Any], float]] = {
    "adjusted_rand": metrics.adjusted_rand_score,
    "mutual_information": metrics.normalized_mutual_info_score,
}
"""Both are 1 where clusters are the labels, and 0 for one cluster; the second is normalised."""


class Clusters:
    """Takes a learner's distances; see `engine.tasks.clustering`."""

    def __init__(self, predictor: Predictor, slice_columns: Sequence[str], seed: int) -> None:
        self._predictor = predictor
        self._rng = np.random.default_rng([seed, 1])
        self._figures = Figures(slice_columns, seed)
        width = sum(int(np.prod(spec.shape)) for spec in predictor.preprocessing.inputs.values())
        self._near = RowSample(min(MAX_ROWS, max(MAX_VALUES // width, 2)), seed)
        self._worst = Worst()

    def add(
        self,
        values: NDArray[np.floating],
        truth: pa.Array | None,
        numbers: NDArray[np.int64],
        batch: pa.RecordBatch,
    ) -> None:
        """See `engine.tasks.base.Evaluation`."""
        own, away = nearest(values), distance(values)
        self._worst.update(
            away, numbers, batch, lambda row: {CLUSTER: int(own[row]), DISTANCE: float(away[row])}
        )
        labels = {} if truth is None else {"label": truth}
        whole = np.square(values[:, -1].astype(np.float64))
        self._figures.add(batch, own=own, square=np.square(away), whole=whole, **labels)
        features = batch.select(self._predictor.preprocessing.columns)
        self._near.update(features.append_column(f"{CLUSTER} ", pa.array(own)))

    def report(self) -> JSON:
        """Return the parts of an evaluation. There was at least one row."""
        rows = self._figures.rows()
        own, square, whole = (rows.column(name).to_numpy() for name in ("own", "square", "whole"))
        weighted = Resamples(len(own), RESAMPLES, self._rng)
        found: dict[str, float] = {}
        between: dict[str, Interval | None] = {}
        found["inertia"], between["inertia"] = mean_of(square, weighted)
        found["explained_variance"], between["explained_variance"] = explained(square, whole, weighted)
        trivial = {"inertia": float(whole.mean()), "explained_variance": 0.0}
        drawn = self._drawn(found, between)
        if "label" in rows.schema.names:
            self._labelled(rows.column("label"), own, found, between)
        trivial |= {name: 0.0 for name in LABEL_METRICS if name in found}
        return {
            "metrics": found,
            "intervals": told(between, weighted),
            "baseline": {"predicts": "one cluster", "metrics": trivial},
            "verdict": _verdict(found, between),
            "clusters": _sizes(own, square),
            **drawn,
            "worst": self._worst.as_json(),
            "slices": self._figures.slices("inertia", square, self._rng),
            **self._figures.sampled(),
        }

    def _drawn(self, found: dict[str, float], between: dict[str, Interval | None]) -> JSON:
        """Add the silhouette of a sample; return its rows in two dimensions.

        The interval is that over rows whose distances from the others stay as they are.
        """
        batch = self._near.rows()
        assert batch is not None, "there was at least one row"
        own = batch.column(f"{CLUSTER} ").to_numpy()
        encoded = self._predictor.preprocessing.encode(batch).inputs
        flat = [np.reshape(each, (len(own), -1)).astype(np.float64) for each in encoded.values()]
        table = np.concatenate(flat, axis=1)
        if 1 < len(np.unique(own)) < len(own):
            each = metrics.silhouette_samples(table, own)
            weighted = Resamples(len(own), RESAMPLES, self._rng)
            found["silhouette"], between["silhouette"] = mean_of(each, weighted)
        if table.shape[1] < 2 or len(table) < 2:
            return {}
        points = PCA(2, svd_solver="full").fit_transform(table[:MAX_POINTS])
        shown = zip(points.tolist(), own[:MAX_POINTS].tolist(), strict=True)
        return {"projection": {"points": [[*point, number] for point, number in shown]}}

    def _labelled(
        self,
        labels: pa.Array,
        own: NDArray[np.int64],
        found: dict[str, float],
        between: dict[str, Interval | None],
    ) -> None:
        known = labels.is_valid().to_numpy(zero_copy_only=False)
        codes = labels.dictionary_encode().indices.to_numpy(zero_copy_only=False)[known].astype(np.int64)
        own = own[known]
        if len(own) < 2:
            return
        if len(own) > MAX_LABELLED:
            chosen = self._rng.choice(len(own), MAX_LABELLED, replace=False)
            codes, own = codes[chosen], own[chosen]
        again = self._rng.integers(0, len(own), (RESAMPLES, len(own)))
        for name, measure in LABEL_METRICS.items():
            found[name] = float(measure(codes, own))
            resampled = [measure(codes[rows], own[rows]) for rows in again]
            between[name] = np.quantile(resampled, [0.025, 0.975]).tolist()


def _verdict(found: dict[str, float], between: dict[str, Interval | None]) -> JSON:
    """With labels, whether clusters go with them; without, whether rows are nearer to their own cluster."""
    name = "adjusted_rand" if "adjusted_rand" in found else "silhouette"
    if name not in found:
        return {"beats_baseline": False, "text": "All rows are in one cluster, as in the baseline."}
    ends = between[name]
    beats = ends is not None and ends[0] > 0
    value = between_text(found[name], ends)
    if name == "adjusted_rand":
        text = (
            f"The clusters {'go' if beats else 'do not go'} with the labels more than chance explains: their "
            f"adjusted Rand index is {value}, one cluster for all has 0."
        )
    else:
        text = (
            f"Rows are {'nearer to' if beats else 'no nearer to'} the others of their cluster than to those "
            f"of the next one: the silhouette is {value}. The clusters explain "
            f"{found['explained_variance']:.1%} of the variance, one cluster for all none."
        )
    return {"beats_baseline": beats, "text": text}


def _sizes(own: NDArray[np.int64], square: NDArray[np.float64]) -> list[JSON]:
    return [
        {
            CLUSTER: int(number),
            "rows": int((own == number).sum()),
            DISTANCE: float(np.sqrt(square[own == number]).mean()),
        }
        for number in np.unique(own)
    ]
