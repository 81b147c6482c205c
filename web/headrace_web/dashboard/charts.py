"""Charts as SVG, laid out here and drawn by a template: lines and dots over a grid, scaled to fit."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 22, 38
TICKS = 4
DAY_S = 86_400

Points = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Line:
    """A line through ``points`` in pixels; ``number`` chooses its colour."""

    label: str
    points: str
    number: int


@dataclass(frozen=True)
class Tick:
    """A number on an axis, ``at`` in pixels."""

    at: float
    text: str


@dataclass
class Chart:
    """A chart whose axes hold ``x`` and ``y``, each a lower and an upper end.

    ``dates``: what stands on the x axis are days since 1970.
    """

    title: str
    x_label: str
    y_label: str
    x: tuple[float, float]
    y: tuple[float, float]
    lines: list[Line] = field(default_factory=list)
    dots: list[tuple[float, float, int]] = field(default_factory=list)
    reference: str = ""
    faint: list[str] = field(default_factory=list)
    bands: list[str] = field(default_factory=list)
    dates: bool = False

    @property
    def x_ticks(self) -> list[Tick]:
        """The numbers or dates on the lower edge."""
        if self.dates:
            return [Tick(self._at_x(value), text) for value, text in _dates(*self.x)]
        return [Tick(self._at_x(value), f"{value:.4g}") for value in _ticks(*self.x)]

    @property
    def y_ticks(self) -> list[Tick]:
        """The numbers on the left edge."""
        return [Tick(self._at_y(value), f"{value:.4g}") for value in _ticks(*self.y)]

    def line(self, label: str, points: Points) -> None:
        """Add a line."""
        self.lines.append(Line(label, self._pixels(points), len(self.lines) % 10))

    def scatter(self, points: Points, number: int = 0) -> None:
        """Add dots; ``number`` chooses their colour."""
        self.dots += [(self._at_x(x), self._at_y(y), number % 10) for x, y in points]

    def refer(self, points: Points) -> None:
        """Draw a dashed line to compare with."""
        self.reference = self._pixels(points)

    def fade(self, points: Points) -> None:
        """Draw a faint line, one of many behind the others."""
        self.faint.append(self._pixels(points))

    def band(self, lower: Points, upper: Points) -> None:
        """Fill what is between two lines."""
        self.bands.append(self._pixels([*lower, *reversed(upper)]))

    def _pixels(self, points: Points) -> str:
        return " ".join(f"{self._at_x(x)},{self._at_y(y)}" for x, y in points)

    def _at_x(self, value: float) -> float:
        return round(LEFT + _share(value, *self.x) * (WIDTH - LEFT - RIGHT), 1)

    def _at_y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - _share(value, *self.y) * (HEIGHT - TOP - BOTTOM), 1)


def of_evaluation(evaluation: dict[str, Any]) -> list[Chart]:
    """Return the charts that an evaluation has what they need for."""
    charts = [
        _rates(evaluation, "roc", "ROC", "false positive rate", "true positive rate"),
        _rates(evaluation, "pr", "Precision and recall", "recall", "precision"),
        _calibration(evaluation.get("calibration")),
        _predictions(evaluation.get("predictions")),
        _fit(evaluation.get("fit")),
        _embedding(evaluation.get("embedding")),
        _clusters(evaluation.get("projection")),
        _scores(evaluation.get("scores")),
        *(_lists(evaluation.get("top"), metric) for metric in ("recall", "ndcg")),
    ]
    charts += _forecasts(evaluation.get("forecast"))
    return [chart for chart in charts if chart is not None]


def _rates(evaluation: dict[str, Any], name: str, title: str, x: str, y: str) -> Chart | None:
    curves = evaluation.get(name)
    if not curves:
        return None
    chart = Chart(title, x, y, (0, 1), (0, 1))
    for curve in curves:
        chart.line(str(curve["label"]), curve["points"])
    if name == "roc":
        chart.refer([(0, 0), (1, 1)])
    return chart


def _lists(found: list[dict[str, Any]] | None, metric: str) -> Chart | None:
    if not found:
        return None
    sides = {"model": "metrics", "the most popular": "baseline"}
    lines = {label: [(entry["k"], entry[side][metric]) for entry in found] for label, side in sides.items()}
    highest = max(value for points in lines.values() for _, value in points)
    chart = Chart(f"{metric} of lists", "items in the list", metric, (0, found[-1]["k"]), (0, highest or 1))
    for label, points in lines.items():
        chart.line(label, points)
    return chart


def _calibration(found: dict[str, Any] | None) -> Chart | None:
    if not found or not found["bins"]:
        return None
    of = "the predicted class" if found["of"] is None else str(found["of"])
    chart = Chart("Calibration", f"predicted probability of {of}", "observed share", (0, 1), (0, 1))
    points = [(entry["predicted"], entry["observed"]) for entry in found["bins"]]
    chart.line("observed", points)
    chart.scatter(points)
    chart.refer([(0, 0), (1, 1)])
    return chart


def _predictions(found: dict[str, Any] | None) -> Chart | None:
    points = _whole(found and found["points"])
    if not points:
        return None
    both = ends([value for point in points for value in point])
    chart = Chart("Predictions", "truth", "prediction", both, both)
    chart.scatter(points)
    chart.refer([(both[0], both[0]), (both[1], both[1])])
    return chart


def _fit(found: dict[str, Any] | None) -> Chart | None:
    points, line = _whole(found and found["points"]), _whole(found and found["line"])
    if not (found and points and line):
        return None
    title = "Data and fit" if found["averaged_rows"] is None else "Data and mean prediction"
    x, y = zip(*points, *line, strict=True)
    chart = Chart(title, str(found["feature"]), "target", ends(x), ends(y))
    chart.scatter(points)
    chart.line("prediction", line)
    return chart


def _embedding(found: dict[str, Any] | None) -> Chart | None:
    points = _whole(found and found["points"])
    if not points:
        return None
    x, y = zip(*points, strict=True)
    chart = Chart("Embedding", "embedding_0", "embedding_1", ends(x), ends(y))
    chart.scatter(points)
    return chart


def _clusters(found: dict[str, Any] | None) -> Chart | None:
    points = _whole(found and found["points"])
    if not points:
        return None
    x, y, _ = zip(*points, strict=True)
    title = "Clusters, by the two directions in which rows differ most"
    chart = Chart(title, "first", "second", ends(x), ends(y))
    for a, b, number in points:
        chart.scatter([(a, b)], int(number))
    return chart


def _scores(found: dict[str, Any] | None) -> Chart | None:
    if not found:
        return None
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
    top = max(counts) or 1
    chart = Chart("Anomaly scores, and the threshold", "score", "rows", ends(edges), (0, top * 1.04))
    # Each bin is a step: its count from its lower to its upper edge.
    steps = [point for i, n in enumerate(counts) for point in ((edges[i], n), (edges[i + 1], n))]
    chart.line("rows", steps)
    chart.refer([(found["threshold"], 0), (found["threshold"], top)])
    return chart


def _forecasts(found: dict[str, Any] | None) -> list[Chart]:
    """Return, for each series that is drawn, its end and forecasts of it with their intervals."""
    charts = []
    for series in found["series"] if found else []:
        name = ", ".join(str(value) for value in series["series"].values())
        points = [(_day(point["time"]), point) for point in series["points"]]
        truth = [[_day(time), value] for time, value in series["history"]]
        truth += [[day, point["truth"]] for day, point in points if point.get("truth") is not None]
        names = ("lower", "prediction", "upper")
        ahead = {name: [[day, point[name]] for day, point in points] for name in names}
        values = [value for line in (truth, *ahead.values()) for _, value in line]
        title = f"Forecasts of {name}" if name else "Forecasts"
        days = [day for day, _ in truth + ahead["upper"]]
        chart = Chart(title, "time", "target", (min(days), max(days)), ends(values), dates=True)
        chart.line("truth", truth)
        chart.line("forecast", ahead["prediction"])
        chart.band(ahead["lower"], ahead["upper"])
        charts.append(chart)
    return charts


def _day(time: str) -> float:
    return datetime.fromisoformat(time).timestamp() / DAY_S


def _dates(low: float, high: float) -> list[tuple[float, str]]:
    """Return days with what is written there: years, months, days or hours, as the space allows."""
    forms = ((4 * 366, "%Y"), (90, "%b %Y"), (3, "%d %b"), (-1, "%H:%M"))
    form = next(form for least, form in forms if high - low > least)
    days = [low + (high - low) * (i + 0.5) / TICKS for i in range(TICKS)]
    return [(day, datetime.fromtimestamp(day * DAY_S, UTC).strftime(form)) for day in days]


def _whole(points: Any) -> list[list[float]]:
    """Return the points without those whose numbers were too large to be kept."""
    return [point for point in points or [] if None not in point]


def ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis that holds ``values`` with some room around them."""
    low, high = min(values), max(values)
    # The ends of what floats can hold have no difference.
    room = high * 0.04 - low * 0.04 or abs(high) * 0.1 or 1.0
    most = sys.float_info.max
    return max(low - room, -most), min(high + room, most)


def _share(value: float, low: float, high: float) -> float:
    return (value / 2 - low / 2) / (high / 2 - low / 2)


def _ticks(low: float, high: float) -> list[float]:
    rough = high / TICKS - low / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.8)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
