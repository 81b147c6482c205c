"""Windows of series: what a network reads, and what it should have said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.specs.base import ColumnType
from headrace_workers.engine.algorithms.base import Arrays, TensorSpec
from headrace_workers.engine.data.encoders import MAX_DEVIATIONS, NumberEncoder
from headrace_workers.engine.data.preprocessing import Encoded, Preprocessing
from headrace_workers.engine.forecasting import series as series_module
from headrace_workers.engine.forecasting.series import Columns, Series
from headrace_workers.engine.forecasting.steps import Step

HISTORY, CHANGES, BASE, FUTURE, OBSERVED = "history", "changes", "base", "future", "observed"
BOUNDS = 3
"""What is forecast of a step: the lower end of its interval, the median, the upper end."""


@dataclass(frozen=True)
class Windows:
    """Windows of one series: the inputs, and each window's unit.

    ``level`` and ``spread``, shape (n, 1). ``wanted``, shape (n, horizon), is in that unit, NaN where the
    series has no value.
    """

    inputs: Arrays
    wanted: NDArray[np.float32]
    level: NDArray[np.float64]
    spread: NDArray[np.float64]


class Windowing(Preprocessing):
    """How series become windows; ``encoders`` are those of the features, numbers beside the target.

    ``known`` are the features that are known of the future too. ``season`` is a number of steps.
    """

    encoders: list[NumberEncoder]  # type: ignore[assignment]
    time: str
    series: dict[str, ColumnType]
    target: str
    target_type: Literal["number", "integer"]
    known: list[str]
    step: Step
    season: int
    window: int
    horizon: int
    calendar: bool

    @property
    def roles(self) -> Columns:
        """Which columns are read as what."""
        return Columns(self.time, tuple(self.series), self.target, tuple(self.columns))

    @property
    def signature(self) -> list[dict[str, Any]]:
        """See `Preprocessing.signature`."""
        own = [{"name": name, "type": kind} for name, kind in self.series.items()]
        own += [{"name": self.time, "type": "timestamp"}, {"name": self.target, "type": self.target_type}]
        return own + super().signature

    @property
    def inputs(self) -> dict[str, TensorSpec]:
        """See `Preprocessing.inputs`."""
        beside = 1 + len(self.known)
        if self.calendar:
            beside += self.step.calendar(np.zeros(1, np.int64)).shape[1]
        specs = {
            HISTORY: TensorSpec((self.window,), "float32"),
            BASE: TensorSpec((self.horizon,), "float32"),
            FUTURE: TensorSpec((self.horizon, beside), "float32"),
        }
        if self.window > self.season:
            specs[CHANGES] = TensorSpec((self.window - self.season,), "float32")
        if self.encoders:
            specs[OBSERVED] = TensorSpec((self.window, len(self.encoders)), "float32")
        return specs

    def encode(self, batch: pa.RecordBatch | pa.Table) -> Encoded:
        """Return the window at the end of each series of ``batch``, in the order of their keys."""
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        parts, problems = [], {}
        for number, each in enumerate(self.read(table)):
            if each.known < self.window:
                problems[number] = self.too_short(each)
                each = self.nothing(each)
            parts.append(self.windows(each, np.array([each.known])).inputs)
        specs = self.inputs
        empty = {name: np.empty((0, *spec.shape), np.float32) for name, spec in specs.items()}
        return Encoded(
            {name: np.concatenate([empty[name], *(part[name] for part in parts)]) for name in specs}, problems
        )

    def too_short(self, series: Series) -> str:
        """Return what is wrong with a series whose end is no window."""
        return (
            f"{series_module.named(series.key, self.roles)} has {series.known} steps up to its last value, "
            f"the model reads {self.window}"
        )

    def nothing(self, series: Series) -> Series:
        """Return a series of zeros in place of one that is too short."""
        steps = self.window
        return Series(
            series.key,
            series.start,
            np.ones(steps),
            np.full((steps, len(self.encoders)), np.nan),
            np.full(steps, -1),
        )

    def read(self, table: pa.Table) -> list[Series]:
        """Return the series of ``table``. Raises `BadData`; see `series.read`."""
        return series_module.read(table, self.roles, self.step)

    def restored(self, values: NDArray[np.floating], windows: Windows) -> NDArray[np.float64]:
        """Return forecasts, shape (n, horizon, ...), in the target's units."""
        shape = (-1, *[1] * (values.ndim - 1))
        return values * windows.spread.reshape(shape) + windows.level.reshape(shape)

    def windows(self, series: Series, origins: NDArray[np.int64]) -> Windows:
        """Return the windows that end before each of ``origins``, steps of ``series`` from `window` on."""
        known, horizon, season = series.known, self.horizon, self.season
        values = series.values
        history = np.lib.stride_tricks.sliding_window_view(_filled(values[:known], season), self.window)
        history = history[origins - self.window]
        # The deviation of the last season; where there is none, that of all steps that are seen.
        last = history[:, -season:] if season > 1 else history
        level = history[:, -season:].mean(axis=1, keepdims=True)
        spread = np.maximum(last.std(axis=1, keepdims=True), 1e-6 * np.abs(level) + 1e-12)
        scaled = np.clip((history - level) / spread, -MAX_DEVIATIONS, MAX_DEVIATIONS).astype(np.float32)
        ahead = origins[:, None] + np.arange(horizon)
        base = scaled[:, self.window - season + np.arange(horizon) % season]
        with np.errstate(invalid="ignore"):
            wanted = np.clip(
                (_padded(values, known + horizon)[ahead] - level) / spread, -MAX_DEVIATIONS, MAX_DEVIATIONS
            )
        inputs: Arrays = {HISTORY: scaled, BASE: base}
        if self.window > season:
            inputs[CHANGES] = scaled[:, season:] - scaled[:, :-season]
        features = self._features(series, known + horizon)
        inputs[FUTURE] = self._future(series, ahead, features)
        if self.encoders:
            inputs[OBSERVED] = features[origins[:, None] + np.arange(-self.window, 0)]
        return Windows(inputs, wanted.astype(np.float32), level, spread)

    def _features(self, series: Series, steps: int) -> NDArray[np.float32]:
        """Return all features of ``steps`` steps, standardised, 0 where missing."""
        found = np.zeros((steps, len(self.encoders)), np.float32)
        for i, encoder in enumerate(self.encoders):
            values = _padded(series.features[:, i], steps)
            scaled = np.clip((values - encoder.mean) / encoder.scale, -MAX_DEVIATIONS, MAX_DEVIATIONS)
            found[:, i] = np.nan_to_num(scaled, nan=0.0)
        return found

    def _future(
        self, series: Series, ahead: NDArray[np.int64], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        far = np.broadcast_to((np.arange(self.horizon) + 1) / self.horizon, ahead.shape)
        parts: list[NDArray[Any]] = [far[..., None]]
        if self.calendar and len(ahead):
            first, last = int(ahead.min()), int(ahead.max())
            calendar = self.step.calendar(self.step.times(series.start, np.arange(first, last + 1)))
            parts.append(calendar[ahead - first])
        elif self.calendar:
            width = self.step.calendar(np.zeros(1, np.int64)).shape[1]
            parts.append(np.empty((*ahead.shape, width)))
        chosen = [self.columns.index(name) for name in self.known]
        parts.append(features[ahead][..., chosen])
        return np.concatenate(parts, axis=-1).astype(np.float32)


def _padded(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the first ``count`` of ``values``, with NaN behind them where they are fewer."""
    found = np.full(count, np.nan)
    found[: min(len(values), count)] = values[:count]
    return found


def _filled(values: NDArray[np.float64], season: int) -> NDArray[np.float64]:
    """Return ``values`` with what was one season before in each gap, or else the last before it.

    Nothing behind a gap decides what fills it, but at the very beginning.
    """
    filled = values.copy()
    for i in np.flatnonzero(np.isnan(values)).tolist():
        before = [filled[i - back] for back in (season, 1) if i >= back]
        filled[i] = next((value for value in before if np.isfinite(value)), np.nan)
    first = np.flatnonzero(np.isfinite(filled))
    if len(first):
        filled[: first[0]] = filled[first[0]]
    return filled


def origins(series: Series, wanted: NDArray[np.bool_], window: int, horizon: int) -> NDArray[np.int64]:
    """Return the steps from which on a whole horizon is ``wanted``, shape (steps,), or is a gap.

    Behind a whole window, and with one value at least to forecast.
    """
    known = series.known
    there = np.isfinite(series.values[:known])
    starts = np.arange(window, known - horizon + 1)
    refused = np.concatenate([[0], np.cumsum(there & ~wanted[:known])])
    values = np.concatenate([[0], np.cumsum(there)])
    fit = (refused[starts + horizon] == refused[starts]) & (values[starts + horizon] > values[starts])
    found: NDArray[np.int64] = starts[fit]
    return found


def thinned(found: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return every so many of ``found`` that ``share`` (0 to 1) of them are left, and the first."""
    return found if share >= 1 else found[:: max(int(np.ceil(1 / share)), 1)]
