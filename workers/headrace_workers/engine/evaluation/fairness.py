"""Whether a classifier treats the groups of a slice alike, by fairlearn, one class against the rest.

Demographic parity: all groups are predicted to be of the class at one rate. Equal opportunity: their rows
that are of the class are found at one rate (Hardt, Price, Srebro 2016). Equalized odds: those that are not
are taken for it at one rate, too. A difference is that of the largest and the smallest rate, a ratio theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.evaluation import intervals
from headrace_workers.engine.evaluation.slices import RESAMPLES, SMALL, Group

JSON = dict[str, Any]

MAX_CLASSES = 10
"""Of more classes those with the most rows are told of."""

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


def measure(
    groups: Sequence[Group],
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    labels: Sequence[Any],
    rng: np.random.Generator,
) -> list[JSON]:
    """Return for each class the rates of all ``groups``, and how far apart those are that can be compared.

    Of two classes the second is told of. Groups of less than `SMALL` rows are not compared; what rows do
    not define is left out. Intervals are percentiles of `RESAMPLES` resamples of all rows: those of a
    difference are above 0 also where there is none, since the largest and the smallest are taken.
    """
    if len(labels) == 2:
        classes = [1]
    else:
        rows = np.bincount(truth, minlength=len(labels))
        classes = sorted(sorted(range(len(labels)), key=lambda k: (-rows[k], k))[:MAX_CLASSES])
    number = np.zeros(len(truth), np.int64)
    for i, group in enumerate(groups):
        number[group.rows] = i
    sizes = np.bincount(number, minlength=len(groups))
    compared = np.flatnonzero(sizes >= SMALL)
    return [
        {"label": labels[k], **_of_class(truth == k, predicted == k, number, sizes, compared, rng)}
        for k in classes
    ]


def _of_class(
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    number: NDArray[np.int64],
    sizes: NDArray[np.int64],
    compared: NDArray[np.int64],
    rng: np.random.Generator,
) -> JSON:
    cells = np.bincount(number * 4 + truth * 2 + predicted, minlength=len(sizes) * 4)
    drawn = rng.multinomial(len(truth), cells / len(truth), size=RESAMPLES)
    # The last axes: group, of the class, predicted to be of the class.
    defined, resampled = (_rates(each.reshape(-1, len(sizes), 2, 2)) for each in (cells, drawn))
    by_group = _frame(truth, predicted, number).by_group
    found = []
    for group, size in enumerate(sizes):
        known = [name for name in RATES if np.isfinite(defined[name][0, group])]
        found.append(
            {
                "rows": int(size),
                "of_class": int(truth[number == group].sum()),
                "rates": {name: float(by_group[name][group]) for name in known},
                "intervals": _between({name: resampled[name][:, group] for name in known}),
            }
        )
    part: JSON = {"compared": len(compared), "groups": found, "metrics": {}, "intervals": {}}
    if len(compared) > 1:
        among = np.isin(number, compared)
        frame = _frame(truth[among], predicted[among], number[among])
        apart, ratio = frame.difference(), frame.ratio()
        metrics = {
            "demographic_parity_difference": apart["selection_rate"],
            "demographic_parity_ratio": ratio["selection_rate"],
            "equal_opportunity_difference": apart["true_positive_rate"],
            "equalized_odds_difference": max(apart["true_positive_rate"], apart["false_positive_rate"]),
        }
        here = _apart({name: rates[:, compared] for name, rates in defined.items()})
        again = _apart({name: rates[:, compared] for name, rates in resampled.items()})
        part["metrics"] = {name: float(metrics[name]) for name in metrics if np.isfinite(here[name][0])}
        part["intervals"] = _between({name: again[name] for name in part["metrics"]})
    return part


def _frame(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], groups: NDArray[np.int64]) -> Any:
    # Slow to import, for the sake of pandas; most evaluations have no slices.
    from fairlearn import metrics

    return metrics.MetricFrame(
        metrics={name: getattr(metrics, name) for name in RATES},
        y_true=truth.astype(int),
        y_pred=predicted.astype(int),
        sensitive_features=groups,
    )


def _between(resampled: dict[str, NDArray[np.float64]]) -> dict[str, intervals.Interval]:
    found = {name: intervals.percentiles(values) for name, values in resampled.items()}
    return {name: ends for name, ends in found.items() if ends is not None}


def _rates(cells: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return the rates of counts, shape (n, groups, 2, 2): shape (n, groups), NaN where not defined.

    fairlearn measures one set of rows per call; a bootstrap has hundreds. Tests hold the two together.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "selection_rate": cells[..., 1].sum(axis=2) / cells.sum(axis=(2, 3)),
            "true_positive_rate": cells[:, :, 1, 1] / cells[:, :, 1].sum(axis=2),
            "false_positive_rate": cells[:, :, 0, 1] / cells[:, :, 0].sum(axis=2),
        }


def _apart(rates: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return how far apart groups are, for each set of ``rates``, shape (n, groups)."""
    apart = {name: values.max(axis=1) - values.min(axis=1) for name, values in rates.items()}
    selected = rates["selection_rate"]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = selected.min(axis=1) / selected.max(axis=1)
    return {
        "demographic_parity_difference": apart["selection_rate"],
        "demographic_parity_ratio": ratio,
        "equal_opportunity_difference": apart["true_positive_rate"],
        "equalized_odds_difference": np.maximum(apart["true_positive_rate"], apart["false_positive_rate"]),
    }
