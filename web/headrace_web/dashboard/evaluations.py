"""Evaluations as pages show them, those of versions and those of evaluate jobs."""

from __future__ import annotations

import json
from typing import Any

from headrace.artifacts.store import Stored, read_verified
from headrace_web.calls import Call
from headrace_web.dashboard import charts

MOST_CLASSES = 40
"""A confusion matrix beyond this is no picture."""

Cells = list[tuple[int, int]]


def shown(call: Call, stored: Stored) -> dict[str, Any]:
    """Return the evaluation ``stored``, and what its template needs besides."""
    evaluation = json.loads(b"".join(read_verified(call.parts.store, stored.digest)))
    return {
        "evaluation": evaluation,
        "matrix": _matrix(evaluation.get("confusion_matrix")),
        "charts": charts.of_evaluation(evaluation),
        "chart": charts,
        "most": MOST_CLASSES,
    }


def _matrix(found: dict[str, Any] | None) -> list[tuple[Any, Cells]]:
    """Return each row's label, and its counts with their share of the row in tenths."""
    if not found:
        return []
    return [
        (label, [(count, round(10 * count / max(1, sum(counts)))) for count in counts])
        for label, counts in zip(found["labels"], found["counts"], strict=True)
    ]
