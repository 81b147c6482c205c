"""Explanations as pages show them: those of versions and those of explain jobs."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored, read_verified
from headrace.registry import service as registry
from headrace.registry.tables import ModelExplanation, ModelVersion
from headrace_web.calls import Call
from headrace_web.dashboard import bars, charts
from headrace_web.dashboard.bars import Bars
from headrace_web.dashboard.charts import Chart

LISTED = 20
"""Explanations of a version that its page knows of."""

SHADES = 5
JSON = dict[str, Any]


def of_version(session: Session, version: ModelVersion) -> list[tuple[ModelExplanation, Stored | None]]:
    """Return the newest explanations of ``version``; the newest of each method with its artifact."""
    seen: set[str] = set()
    found: list[tuple[ModelExplanation, Stored | None]] = []
    for row in registry.explanations(session, version, limit=LISTED).items:
        newest = row.method not in seen
        seen.add(row.method)
        found.append((row, artifacts.artifact(session, row.job, "explanation") if newest else None))
    return found


def shown(call: Call, stored: Stored) -> JSON:
    """Return the explanation ``stored``, and what its template needs besides."""
    found = json.loads(b"".join(read_verified(call.parts.store, stored.digest)))
    attributions = found.get("attributions") or {}
    for example in attributions.get("examples", []):
        _shade(example.get("words", []))
    return {
        "explanation": found,
        "bars": [each for each in _bars(found, attributions) if each is not None],
        "curves": [each for each in map(_curve, found.get("partial_dependence") or []) if each],
        "tables": [
            each for each in found.get("partial_dependence") or [] if each["type"] in ("category", "boolean")
        ],
    }


def _bars(found: JSON, attributions: JSON) -> list[Bars | None]:
    importance = found.get("importance") or {"metrics": {}, "features": []}
    drawn: list[Bars | None] = []
    for metric in importance["metrics"]:
        costs = [(each["feature"], each["metrics"][metric]) for each in importance["features"]]
        costs.sort(key=lambda each: -each[1]["mean"])
        note = f"how much worse {metric} gets when the column is shuffled"
        shuffled = [(name, cost["mean"], cost["interval"]) for name, cost in costs]
        drawn.append(bars.lay_out(f"Importance by {metric}", note, shuffled))
    if features := attributions.get("features"):
        note = f"what the column adds to the {attributions['of']}, up or down, on average"
        sizes = [(each["feature"], each["size"], None) for each in features]
        drawn.append(bars.lay_out("Contributions", note, sizes))
    for group in attributions.get("words") or []:
        of = "" if group["label"] is None else f" {group['label']}"
        note = f"what the word adds on average, in {group['rows']} rows"
        entries = [(each["word"], each["adds"], None) for each in group["words"]]
        drawn.append(bars.lay_out(f"Words for and against{of}", note, entries))
    return drawn


def _curve(found: JSON) -> Chart | None:
    """Return the curve of a number; what has levels is told in a table."""
    if found["type"] in ("category", "boolean") or len(found["grid"]) < 2:
        return None
    grid = found["grid"]
    lines = [curve["mean"] for curve in found["curves"]]
    single = [one for curve in found["curves"] for one in curve["ice"]]
    every = [value for line in (*lines, *single) for value in line]
    y_label = "mean prediction" if found["curves"][0]["label"] is None else "mean probability"
    chart = Chart("Partial dependence", str(found["feature"]), y_label, charts.ends(grid), charts.ends(every))
    for one in single:
        chart.fade(list(zip(grid, one, strict=True)))
    for curve in found["curves"]:
        label = "prediction" if curve["label"] is None else str(curve["label"])
        chart.line(label, list(zip(grid, curve["mean"], strict=True)))
    return chart


def _shade(words: list[JSON]) -> None:
    """Say of each word how deep its colour is, from 0 to `SHADES`."""
    largest = max((abs(each["adds"]) for each in words), default=0.0) or 1.0
    for each in words:
        each["shade"] = round(SHADES * abs(each["adds"]) / largest)
