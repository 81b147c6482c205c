"""Forecast: the next steps of series. See ``engine.forecasting``.

Its rows are windows of series, not rows of the data, so most of its ways are its own. What it fits besides
the `Windowing` is only what the outputs are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.errors import BadData, BadSpec
from headrace.specs.base import ColumnType
from headrace.specs.jobs import PredictSpec, Split
from headrace_workers.engine.algorithms.forecast import ForecastParams
from headrace_workers.engine.data import split
from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.encoders import NumberFitting
from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.data.selection import Selection
from headrace_workers.engine.data.split import Parts
from headrace_workers.engine.data.target import Target
from headrace_workers.engine.forecasting import series as series_module
from headrace_workers.engine.forecasting import sizes, steps, windows
from headrace_workers.engine.forecasting.series import Columns, Series
from headrace_workers.engine.forecasting.windows import Windowing
from headrace_workers.engine.tasks.base import PREDICTION, Evaluation, Goal, Predictions, Task
from headrace_workers.engine.training.encode import EncodedPart
from headrace_workers.engine.training.rows import Rows

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor
    from headrace_workers.engine.training.pipeline import Training

JSON = dict[str, Any]
LOWER, UPPER = "lower", "upper"
ORDER = (LOWER, PREDICTION, UPPER)
"""What a learner gives of each step."""

MAX_WINDOWS = 200_000
"""Windows to learn from at most; of more, evenly spaced ones are taken."""

SERIES_AT_ONCE = 256
MIN_WINDOW = 2


class ForecastTarget(Target):
    """What comes out: columns that tell series apart, with types, the time, and ``horizon`` steps of it."""

    task: Literal["forecast"] = "forecast"
    column: str
    type: Literal["number", "integer"]
    time: str
    series: dict[str, ColumnType]
    horizon: int
    level: float


class Forecast(Task[ForecastTarget]):
    """Values are lower end, median and upper end of each step, shape (n, horizon, 3)."""

    target_class = ForecastTarget
    preprocessing_class = Windowing

    def columns(self, training: Training) -> list[str]:
        """See `Task.columns`."""
        return _roles(training).all

    def divide(self, training: Training) -> Parts:
        """See `_divided`."""
        roles = _roles(training)
        for names, what in (([roles.time], "time"), (roles.series, "series")):
            training.reader.require(names, what)
        return _divided(training.reader, training.spec.split, roles, _params(training).horizon)

    def tested(
        self, reader: Reader, rule: Split, columns: Preprocessing, target: ForecastTarget
    ) -> NDArray[np.bool_]:
        """See `Task.tested`."""
        assert isinstance(columns, Windowing), "what forecasts are made from"
        return np.asarray(_divided(reader, rule, columns.roles, columns.horizon) == split.TEST)

    def fit(self, training: Training) -> tuple[Windowing, ForecastTarget]:
        """See `Task.fit`."""
        roles, params, types = _roles(training), _params(training), training.reader.types
        table = load(training.reader, roles.all)
        groups = series_module.groups(table, roles)
        step = series_module.find_step(groups)
        learned = training.parts == split.TRAINING
        spans = [step.numbers(g.times[learned[g.rows]], int(g.times[0])) for g in groups]
        longest = max((int(span[-1]) + 1 for span in spans if len(span)), default=0)
        season, window = sizes.choose(params, step, longest)
        kind = types[roles.target]
        assert kind in ("number", "integer"), "checked when the job is submitted"
        encoders = []
        for name in roles.features:
            fitting = NumberFitting(name, types[name])
            fitting.add(table[name].combine_chunks().filter(pa.array(learned)))
            encoders.append(fitting.encoder().model_copy(update={"flag": False}))
        columns = Windowing(
            encoders=encoders,
            time=roles.time,
            series={name: types[name] for name in roles.series},
            target=roles.target,
            target_type=kind,
            known=[name for name in roles.features if name in params.known],
            step=step,
            season=season,
            window=window,
            horizon=params.horizon,
            calendar=params.calendar,
        )
        gaps = sum(each.gaps for each in columns.read(table))
        print(
            f"{len(groups)} series; a step is {step}, a season {season} steps, a window {window}; "
            f"{gaps} steps have no value and count, as history, as what was one season before",
            flush=True,
        )
        return columns, ForecastTarget(
            column=roles.target,
            type=kind,
            time=roles.time,
            series=columns.series,
            horizon=params.horizon,
            level=params.level,
        )

    def encode(
        self, training: Training, part: int, columns: Any, target: ForecastTarget, file: Path
    ) -> EncodedPart:
        """Return the windows whose horizon is of one part."""
        assert isinstance(columns, Windowing)
        wanted = training.parts == part
        found = [
            (each, windows.origins(each, _flags(each, wanted), columns.window, columns.horizon))
            for each in columns.read(load(training.reader, columns.roles.all))
        ]
        share = MAX_WINDOWS / max(sum(len(origins) for _, origins in found), 1)
        thin = [(each, windows.thinned(origins, share)) for each, origins in found]
        count = sum(len(origins) for _, origins in thin)
        if not count and part == split.TRAINING:
            raise BadSpec(
                f"horizon: no training part of a series has a window of {columns.window} steps and a horizon "
                f"of {columns.horizon} behind it."
            )
        rows = Rows.allocate(count, columns.inputs, "float32", file, target_shape=(columns.horizon,))
        for each, origins in thin:
            for start in range(0, len(origins), columns.batch_rows):
                block = columns.windows(each, origins[start : start + columns.batch_rows])
                rows.append(block.inputs, block.wanted)
        return EncodedPart(rows)

    def goal(self, target: ForecastTarget) -> Goal:
        """See `Task.goal`."""
        return Goal(len(ORDER), shape=(target.horizon,))

    def outputs(self, target: ForecastTarget) -> list[JSON]:
        """See `Task.outputs`."""
        own: list[JSON] = [{"name": name, "type": kind} for name, kind in target.series.items()]
        own.append({"name": target.time, "type": "timestamp"})
        return own + [{"name": name, "type": "number"} for name in (PREDICTION, LOWER, UPPER)]

    def arrays(
        self, target: ForecastTarget, values: NDArray[Any], names: Sequence[str], bad: NDArray[np.bool_]
    ) -> dict[str, pa.Array]:
        """Return the numbers called ``names`` of all steps, one window behind the other."""
        mask = np.repeat(bad, target.horizon)
        places = {name: place for place, name in enumerate(ORDER)}
        return {
            name: pa.array(values[:, :, places[name]].astype(np.float64).ravel(), pa.float64(), mask=mask)
            for name in names
            if name in places
        }

    def answers(self, target: ForecastTarget, values: NDArray[Any]) -> list[JSON]:
        """Return ``{"forecast": [{"prediction", "lower", "upper"}, …]}`` for each window."""
        return [
            {"forecast": [dict(zip(ORDER, map(float, step), strict=True)) for step in each]}
            for each in values
        ]

    def predictions(
        self,
        predictor: Predictor,
        spec: PredictSpec,
        reader: Reader,
        names: Sequence[str],
        told: Callable[[float], None],
    ) -> Predictions:
        """Return the steps behind the last value of each series of the dataset."""
        if spec.keep:
            raise BadSpec("keep: the rows of a forecast are none of the dataset.")
        columns: Windowing = predictor.preprocessing  # type: ignore[assignment]
        found = columns.read(load(reader, columns.roles.all))
        short = [each for each in found if each.known < columns.window]
        if len(short) > spec.max_bad * len(found) or not found:
            raise BadData(
                f"{len(short)} of {len(found)} series are too short, more than max_bad allows"
                + (f"; the first: {columns.too_short(short[0])}." if short else ".")
            )

        def batches() -> Iterator[pa.RecordBatch]:
            for start in range(0, len(found), SERIES_AT_ONCE):
                some = found[start : start + SERIES_AT_ONCE]
                yield _as_batch(predictor, some, *ahead(predictor, some), names)
                told(min(start + SERIES_AT_ONCE, len(found)) / len(found))

        return Predictions(predictor.schema(names), batches())

    def answer(self, predictor: Predictor, instances: Sequence[JSON]) -> JSON:
        """Return the forecast of each instance, ``{"history": [{column: value}, …]}`` of one series.

        As in a dataset, a row without a value behind the last one says what is known of a step ahead.
        """
        found, errors = [], []
        for number, instance in enumerate(instances):
            each, wrong = _history(predictor, instance)
            errors += [{**error, "loc": ["instances", number, *error["loc"]]} for error in wrong]
            found += [each] if each is not None else []
        if errors:
            return {"errors": errors}
        times, values = ahead(predictor, found)
        return {
            "predictions": [
                {
                    "series": series_module.as_dict(each.key, predictor.preprocessing.roles),  # type: ignore[attr-defined]
                    "forecast": [
                        {"time": steps.text(time), **dict(zip(ORDER, map(float, step), strict=True))}
                        for time, step in zip(own_times, own, strict=True)
                    ],
                }
                for each, own_times, own in zip(found, times, values, strict=True)
            ]
        }

    def evaluation(self, predictor: Predictor, slices: Sequence[str], seed: int) -> Evaluation:
        """A forecast is evaluated by windows, not by rows: see `evaluate`."""
        raise NotImplementedError("forecasts have an evaluation of their own")

    def evaluate(self, predictor: Predictor, rows: Selection, slices: Sequence[str], seed: int) -> JSON:
        """Return the evaluation of the forecasts of all horizons that are wholly of ``rows``."""
        from headrace_workers.engine.evaluation import forecast

        if slices:
            raise BadSpec("slices: an evaluation of forecasts is told by step and by series.")
        columns: Windowing = predictor.preprocessing  # type: ignore[assignment]
        return forecast.evaluate(
            predictor,
            columns,
            columns.read(load(rows.reader, columns.roles.all)),
            rows.wanted,
            rows.told,
            seed,
        )


def load(reader: Reader, names: Sequence[str]) -> pa.Table:
    """Return whole columns: series are sorted in memory."""
    schema = pa.schema([reader.schema.field(name).remove_metadata() for name in names])
    return pa.Table.from_batches([batch.cast(schema) for _, batch in reader.batches(names)], schema)


def ahead(predictor: Predictor, found: Sequence[Series]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the times, shape (n, horizon), and forecasts, shape (n, horizon, 3), behind the end of series.

    NaN for a series that is too short.
    """
    columns: Windowing = predictor.preprocessing  # type: ignore[assignment]
    values = np.full((len(found), columns.horizon, len(ORDER)), np.nan)
    times = np.array(
        [columns.step.times(each.start, each.known + np.arange(columns.horizon)) for each in found], np.int64
    ).reshape(-1, columns.horizon)
    long = [i for i, each in enumerate(found) if each.known >= columns.window]
    blocks = [columns.windows(found[i], np.array([found[i].known])) for i in long]
    if blocks:
        inputs = {name: np.concatenate([b.inputs[name] for b in blocks]) for name in columns.inputs}
        learned = predictor.learner.predict(inputs)
        for place, i in enumerate(long):
            values[i] = columns.restored(learned[place : place + 1], blocks[place])[0]
    return times, values


def _as_batch(
    predictor: Predictor,
    found: Sequence[Series],
    times: NDArray[np.int64],
    values: NDArray[np.float64],
    names: Sequence[str],
) -> pa.RecordBatch:
    target, columns = predictor.target, predictor.preprocessing
    bad = np.asarray(np.isnan(values).any(axis=(1, 2)))
    arrays = predictor.task.arrays(target, values, names, bad)
    arrays[target.time] = pa.array(times.ravel(), pa.int64()).cast(ARROW_TYPES["timestamp"])
    for place, (name, kind) in enumerate(columns.series.items()):  # type: ignore[attr-defined]
        keys = [each.key[place] for each in found for _ in range(target.horizon)]
        arrays[name] = pa.array(keys, ARROW_TYPES[kind])
    schema = predictor.schema(names)
    return pa.RecordBatch.from_arrays([arrays[name] for name in names], schema=schema)


def _history(predictor: Predictor, instance: JSON) -> tuple[Series | None, list[JSON]]:
    """Return the series in an instance, or what is wrong, each ``loc`` from the instance on."""
    from headrace_workers.engine import online

    columns: Windowing = predictor.preprocessing  # type: ignore[assignment]
    rows = instance.get("history")
    strange = sorted(instance.keys() - {"history"})
    if strange:
        return None, [{"loc": [strange[0]], "msg": "is unknown; an instance has history, a list of rows"}]
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        return None, [{"loc": ["history"], "msg": "should be a list of rows of one series, objects"}]
    table, wrong = online.read(rows, predictor.signature["inputs"])
    if table is None:
        return None, [{**error, "loc": ["history", *error["loc"][1:]]} for error in wrong]
    try:
        found = columns.read(table)
    except BadData as error:
        return None, [{"loc": ["history"], "msg": error.detail}]
    if len(found) != 1:
        return None, [{"loc": ["history"], "msg": f"should be rows of one series; these are of {len(found)}"}]
    if found[0].known < columns.window:
        return None, [{"loc": ["history"], "msg": columns.too_short(found[0])}]
    return found[0], []


def _params(training: Training) -> ForecastParams:
    assert isinstance(training.params, ForecastParams)
    return training.params


def _roles(training: Training) -> Columns:
    params = _params(training)
    assert params.time is not None, "a submission without it is refused"
    assert training.target is not None, "a submission without it is refused"
    return Columns(params.time, tuple(params.series), training.target, tuple(training.features))


def _divided(reader: Reader, asked: Split, roles: Columns, horizon: int) -> Parts:
    """Return the part of each row: the last of each series are the test, those before validation."""
    if asked.by.startswith("column:"):
        return split.divide(reader, asked, list(roles.features), roles.target)
    table = load(reader, roles.all)
    parts = np.full(table.num_rows, split.LEFT_OUT, np.uint8)
    known = _is_known(table, roles)
    longest = 0
    divided = False
    for group in series_module.groups(table, roles):
        rows = group.rows[known[group.rows]]
        longest = max(longest, len(rows))
        test, validation = (_last(len(rows), part, horizon) for part in (asked.test, asked.validation))
        parts[rows] = split.TRAINING
        if len(rows) - test - validation >= horizon + MIN_WINDOW:
            parts[rows[len(rows) - test - validation :]] = split.VALIDATION
            parts[rows[len(rows) - test :]] = split.TEST
            divided = True
    if not divided:
        raise BadSpec(_too_short(longest, horizon, asked))
    return parts


def _is_known(table: pa.Table, roles: Columns) -> NDArray[np.bool_]:
    from headrace_workers.engine.data.encoders import to_floats

    return np.isfinite(to_floats(table[roles.target].combine_chunks()))


def _flags(series: Series, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each step whether its row is ``wanted``."""
    return (series.rows >= 0) & wanted[series.rows]


def _last(count: int, part: float, horizon: int) -> int:
    return max(round(count * part), horizon) if part else 0


def _too_short(longest: int, horizon: int, asked: Split) -> str:
    parts = (asked.validation > 0) + (asked.test > 0)
    return (
        f"horizon: {horizon} steps, and as many at least for each of validation and test ({parts} parts), "
        f"are too many for these series: the longest has {longest} values. A shorter horizon would help, or "
        "split.validation: 0."
    )


TASK = Forecast()
