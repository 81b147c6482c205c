"""Small tasks that an algorithm must be able to learn, made for the types of columns that it takes.

Behind every row is a point on a circle. Each type of column shows it in a way of its own, so that even a
weighted sum of encoded columns can tell; classes are three places on the circle, a number to learn is how far
to the right the point is. Clusters are these places too. An anomaly's columns do not agree on a point.
Everything is drawn from one fixed seed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray
from PIL import Image

from headrace.specs.algorithms import Algorithm, catalogue
from headrace.specs.base import ColumnType, TaskType

ROWS = 300
TARGET = "target"
PART = "part"
CLASSES = ("a", "b", "c")
WORDS = ("the", "of", "and", "to", "in", "is", "was", "it", "for", "on")
MEMBERS = ("random_forest", "gradient_boosting")
"""What an algorithm that combines versions is given."""

SIDE = 12
RATE = 8000
"""Samples a second."""
START = np.datetime64("2024-01-01T00:00:00", "us")
DAY_US = 86_400_000_000
RARE_ROWS = 40

Angles = NDArray[np.float64]

ARROW: dict[ColumnType, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
    "image": pa.binary(),
    "audio": pa.large_binary(),
    "sequence": pa.list_(pa.float64()),
}


class Floor(NamedTuple):
    """The least that a metric of the test rows must be, the most where ``most``."""

    metric: str
    value: float
    most: bool = False

    def misses(self, found: float) -> str | None:
        """Return what is wrong with ``found``, None where it is good enough."""
        if found <= self.value if self.most else found >= self.value:
            return None
        side = "less" if self.most else "more"
        return f"does not learn: {self.metric} is {found:.3f}, should be {self.value} or {side}"


FLOORS: dict[TaskType, Floor] = {
    "classification": Floor("accuracy", 0.85),
    "regression": Floor("r2", 0.75),
    "clustering": Floor("adjusted_rand", 0.8),
    "embedding": Floor("explained_variance", 0.3),
    "anomaly": Floor("roc_auc", 0.85),
    "forecast": Floor("mase", 0.8, most=True),
    "recommendation": Floor("ndcg_at_10", 0.55),
}
ANOMALIES = 0.1
"""The share of rows that are anomalies: of what they show, each type of column shows another point."""


@dataclass(frozen=True)
class Trial:
    """One task: columns with their types, and how well it must be learned.

    ``target`` is the column that is learned or, without labels to learn from, evaluated by, if there is one.

    ``floor`` is None where it is enough that the job ends well or says what is wrong with the data.
    ``params`` are the train spec's; ``named`` are columns that they name, which are inputs as features are.
    """

    name: str
    task: TaskType
    features: tuple[str, ...]
    types: Mapping[str, ColumnType]
    table: pa.Table
    floor: Floor | None
    split: Mapping[str, Any]
    target: str | None = TARGET
    params: Mapping[str, Any] = field(default_factory=dict)
    named: tuple[str, ...] = ()

    @property
    def given(self) -> tuple[str, ...]:
        """The columns that predictions are made from."""
        if self.task == "forecast":
            return tuple(self.table.column_names)
        return (*self.named, *self.features)


def trials(algorithm: Algorithm, *, thorough: bool) -> list[Trial]:
    """Return the trials of ``algorithm``: one for each task, or, if ``thorough``, many.

    They are of the tasks and columns that its trial params are for.
    """
    # It makes trials of the class that stands here.
    from headrace_workers.testing import interactions

    found: list[Trial] = []
    params = algorithm.params.model_validate(algorithm.trial)
    algorithm = algorithm.narrowed(algorithm.trial)
    if algorithm.combines:
        algorithm = algorithm.model_copy(update={"features": catalogue()[MEMBERS[0]].features})
    for task in (task for task in algorithm.tasks if not params.misfits(task)):
        if task == "forecast":
            found.append(_series(algorithm))
            continue
        if task == "recommendation":
            found += interactions.trials(algorithm, thorough=thorough)
            continue
        groups: list[tuple[ColumnType, ...]] = [
            (kind,) if kind in algorithm.needs else (*algorithm.needs, kind) for kind in algorithm.features
        ]
        if not algorithm.single_feature:
            groups = [algorithm.features, *(groups if thorough and len(groups) > 1 else [])]
        elif not thorough:
            groups = groups[:1]
        found += [_learnable(algorithm, task, kinds) for kinds in groups]
        if thorough:
            found.append(_awkward(algorithm, task))
    return found


def _learnable(algorithm: Algorithm, task: TaskType, kinds: Sequence[ColumnType]) -> Trial:
    rng = np.random.default_rng(0)
    angles, target = _target(task, ROWS, rng)
    columns = _shown(algorithm, kinds, angles, rng)
    if task == "anomaly":
        _disagree(columns, target[1], rng)
    # One type of column alone cannot disagree with itself, and may be too little to be made again.
    floor = FLOORS[task] if task not in ("embedding", "anomaly") or len(kinds) > 1 else None
    split = {"by": "random", "validation": 0.2, "test": 0.2}
    every = len(kinds) == len(algorithm.features) > 1
    name = f"{task} by {'every type of column' if every else ' and '.join(kinds)}"
    return _trial(algorithm, name, task, columns | {TARGET: target}, floor, split)


def _series(algorithm: Algorithm) -> Trial:
    """Three series of 70 months that rise by the season, one with a gap, one a hundred times as large.

    The time and the name of a series stand in the columns that the trial's params name.
    """
    rng = np.random.default_rng(2)
    months = np.arange(70)
    rising = 10 + 0.05 * months + np.sin(months * np.pi / 6) + rng.normal(0, 0.1, (3, 70))
    values: list[float | None] = [*(rising * [[1.0], [100.0], [3.0]]).ravel().tolist()]
    values[30] = None
    times = (np.datetime64("2015-01") + months).astype("datetime64[us]").tolist()
    columns: dict[str, tuple[ColumnType, Any]] = {
        algorithm.trial["time"]: ("timestamp", times * 3),
        algorithm.trial["series"][0]: ("category", [name for name in CLASSES for _ in months]),
        TARGET: ("number", values),
    }
    split = {"by": f"time:{algorithm.trial['time']}", "validation": 0.15, "test": 0.2}
    trial = _trial(algorithm, "forecast of three series", "forecast", columns, FLOORS["forecast"], split)
    return replace(trial, features=())


def _awkward(algorithm: Algorithm, task: TaskType) -> Trial:
    """Few rows, a class of one training row, columns that are constant or, but for a value, missing."""
    rng = np.random.default_rng(1)
    angles, (kind, values) = _target(task, RARE_ROWS, rng)
    if task == "classification":
        values = ["once", *("seldom" if i % 5 == 0 else "often" for i in range(1, RARE_ROWS))]
    columns = _shown(algorithm, algorithm.features[:1], angles, rng)
    if not algorithm.single_feature:
        for of in algorithm.features:
            shown = _SHOWN[of](angles, rng)
            _, first = next(iter(shown.items()))
            columns[f"constant {of}"] = (of, [first[0]] * RARE_ROWS)
            columns[f"missing {of}"] = (of, [first[0], *[None] * (RARE_ROWS - 1)])
    parts = ["train"] * 30 + ["validation", "test"] * 5
    columns |= {TARGET: (kind, values), PART: ("category", parts)}
    name = f"{task} with rare classes, constant and missing values"
    return _trial(algorithm, name, task, columns, None, {"by": f"column:{PART}"})


def _trial(
    algorithm: Algorithm,
    name: str,
    task: TaskType,
    columns: Mapping[str, tuple[ColumnType, Any]],
    floor: Floor | None,
    split: Mapping[str, Any],
) -> Trial:
    return Trial(
        name=name,
        task=task,
        features=tuple(column for column in columns if column not in (TARGET, PART)),
        types={column: kind for column, (kind, _) in columns.items()},
        table=pa.table({name: pa.array(values, ARROW[kind]) for name, (kind, values) in columns.items()}),
        floor=floor,
        split=split,
        target=None if task == "embedding" else TARGET,
        params=algorithm.trial,
    )


def _target(
    task: TaskType, rows: int, rng: np.random.Generator
) -> tuple[Angles, tuple[ColumnType, list[Any]]]:
    if task == "anomaly":
        angles = rng.uniform(0, 2 * np.pi, rows)
        return angles, ("boolean", (rng.random(rows) < ANOMALIES).tolist())
    if task in ("classification", "clustering"):
        places = rng.integers(0, len(CLASSES), rows)
        angles = 2 * np.pi * places / len(CLASSES) + rng.normal(0, 0.2, rows)
        return angles, ("category", [CLASSES[place] for place in places])
    angles = rng.uniform(0, 2 * np.pi, rows)
    return angles, ("number", (1000 + 100 * np.cos(angles)).tolist())


def _disagree(
    columns: dict[str, tuple[ColumnType, list[Any]]], anomalies: list[bool], rng: np.random.Generator
) -> None:
    """Mix what each column holds in the rows that are ``anomalies``, each column in another way."""
    rows = np.flatnonzero(anomalies)
    for _, values in columns.values():
        for row, other in zip(rows, rng.integers(0, len(values), len(rows)), strict=True):
            values[row] = values[other]


def _shown(
    algorithm: Algorithm, kinds: Sequence[ColumnType], angles: Angles, rng: np.random.Generator
) -> dict[str, tuple[ColumnType, list[Any]]]:
    columns: dict[str, tuple[ColumnType, list[Any]]] = {}
    for kind in kinds:
        shown = _SHOWN[kind](angles, rng)
        if algorithm.single_feature:
            shown = dict([next(iter(shown.items()))])
        for name, values in shown.items():
            # Nothing can be learned of the other columns: a value is missing here and there, and a level
            # appears that training may not have seen.
            holes = rng.random(len(angles)) < (0.02 if kind not in ("image", "audio") else 0.0)
            columns[name] = (
                kind,
                [None if hole else value for hole, value in zip(holes, values, strict=True)],
            )
    return columns


def _numbers(angles: Angles, rng: np.random.Generator) -> dict[str, list[Any]]:
    noise = rng.normal(0, 0.05, (2, len(angles)))
    return {
        "right": (3 * np.cos(angles) + noise[0] - 50).tolist(),
        "up": (0.01 * (np.sin(angles) + noise[1])).tolist(),
    }


def _integers(angles: Angles, rng: np.random.Generator) -> dict[str, list[Any]]:
    return {
        name: [int(value) for value in np.rint(100 * found)]
        for name, found in (("whole right", np.cos(angles)), ("whole up", np.sin(angles)))
    }


def _booleans(angles: Angles, rng: np.random.Generator) -> dict[str, list[Any]]:
    right, up = np.cos(angles), np.sin(angles)
    bounds = {"is right": right > 0, "far right": right > 0.6, "not left": right > -0.6, "is up": up > 0}
    return {name: found.tolist() for name, found in bounds.items()}


def _sectors(angles: Angles, count: int) -> list[str]:
    return [f"sector{int(part)}" for part in np.floor(angles / (2 * np.pi) * count) % count]


def _categories(angles: Angles, rng: np.random.Generator) -> dict[str, list[Any]]:
    return {"sector": list(_sectors(angles, 12))}


def _timestamps(angles: Angles, rng: np.random.Generator) -> dict[str, list[Any]]:
    days = rng.integers(0, 365, len(angles))
    micros = np.rint((days + (angles / (2 * np.pi)) % 1) * DAY_US).astype("timedelta64[us]")
    return {"time": (START + micros).tolist()}


def _texts(angles: Angles, rng: np.random.Generator) -> dict[str, list[Any]]:
    texts = []
    for sector in _sectors(angles, 12):
        words = [*rng.choice(WORDS, 5), sector, sector, sector]
        texts.append(" ".join(rng.permutation(words)))
    return {"words": texts}


def _images(angles: Angles, rng: np.random.Generator) -> dict[str, list[Any]]:
    images = []
    for angle in angles:
        pixels = rng.integers(0, 60, (SIDE, SIDE)).astype(np.uint8)
        x, y = (round(SIDE / 2 - 1 + SIDE / 3 * float(f(angle))) for f in (np.cos, np.sin))
        pixels[max(y - 1, 0) : y + 3, max(x - 1, 0) : x + 3] = 250
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        images.append(file.getvalue())
    return {"image": images}


def _sounds(angles: Angles, rng: np.random.Generator) -> dict[str, list[Any]]:
    """Two tones at once, a low one and a high one, whose pitches are the place."""
    seconds = np.arange(int(0.16 * RATE)) / RATE
    sounds = []
    for angle in angles:
        low, high = 400 + 200 * math.cos(angle), 1800 + 600 * math.sin(angle)
        tones = np.sin(2 * np.pi * low * seconds) + np.sin(2 * np.pi * high * seconds)
        file = io.BytesIO()
        soundfile.write(file, 0.2 * tones + rng.normal(0, 0.01, len(tones)), RATE, format="WAV")
        sounds.append(file.getvalue())
    return {"audio": sounds}


def _sequences(angles: Angles, rng: np.random.Generator) -> dict[str, list[Any]]:
    points = np.stack([np.cos(angles), np.sin(angles)] * 4, axis=1)
    return {"series": (points + rng.normal(0, 0.05, points.shape)).tolist()}


_SHOWN: dict[ColumnType, Callable[[Angles, np.random.Generator], dict[str, list[Any]]]] = {
    "number": _numbers,
    "integer": _integers,
    "boolean": _booleans,
    "category": _categories,
    "text": _texts,
    "timestamp": _timestamps,
    "image": _images,
    "audio": _sounds,
    "sequence": _sequences,
}
