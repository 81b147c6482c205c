"""Forecasts of time series by a network on windows of all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from headrace.errors import BadData
from headrace.specs.algorithms import Algorithm, Params
from headrace.specs.base import Column, TaskType
from headrace_workers.engine.algorithms.base import Arrays, Monitor, Problem, State
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.algorithms.params import (
    Dropout,
    EarlyStopping,
    Epochs,
    LearningRate,
    NetworkParams,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.forecasting.linear import Linear
    from headrace_workers.engine.training.objective import Objective
    from headrace_workers.engine.training.rows import Rows

ENDS = ("lower", "median", "upper")
INTERVALS_FILE = "intervals.json"
MIN_SCORES = 10
NARROWEST = -0.45
"""Intervals never shrink to nothing: each end keeps a tenth of its distance at least."""


class ForecastParams(NetworkParams):
    """Params of `forecast`. The loss is always that of quantiles."""

    time: Annotated[str | None, Field(description="The column of times; needed. Steps are equal.")] = None
    series: Annotated[
        list[str],
        Field(max_length=10, description="Columns whose values together tell several series apart."),
    ] = []
    horizon: Annotated[int, Field(ge=1, le=1000, description="How many steps are forecast.")] = 12
    window: Annotated[
        int | None,
        Field(
            ge=2,
            le=10_000,
            description="How many steps are read; null: three seasons, or fewer.",
        ),
    ] = None
    season: Annotated[
        int | None,
        Field(
            ge=1,
            le=5000,
            description="Steps of a season, 1 for none; null: a year of months or weeks, a week of days, a "
            "day of what is shorter.",
        ),
    ] = None
    known: Annotated[
        list[str],
        Field(max_length=1000, description="Features of which the future is known when a forecast is made."),
    ] = []
    calendar: Annotated[bool, Field(description="Read the time of day, week and year of each step.")] = True
    level: Annotated[
        float, Field(ge=0.5, le=0.99, description="The share of values that intervals should hold.")
    ] = 0.9
    units: Annotated[int, Field(ge=1, le=4096, description="Units of the hidden layers.")] = 64
    epochs: Epochs = 100
    learning_rate: LearningRate = 0.003
    dropout: Dropout = 0.1
    early_stopping: EarlyStopping = 20

    def misfits(self, task: TaskType) -> dict[str, str]:
        """See `Params.misfits`."""
        found = super().misfits(task)
        if self.loss is not None:
            found["loss"] = "a forecast has the loss of quantiles: should be null"
        return found

    def named_columns(self) -> dict[str, str | list[str] | None]:
        """See `Params.named_columns`."""
        return {"time": self.time, "series": self.series}

    def split_by(self) -> str | None:
        """See `Params.split_by`."""
        return f"time:{self.time}"

    def misfit_dataset(self, columns: Sequence[Column], target: str | None) -> dict[str, str]:
        """See `Params.misfit_dataset`."""
        types = {column.name: column.type for column in columns}
        times = [name for name, kind in types.items() if kind == "timestamp"]
        some = (
            f"the timestamp columns are {', '.join(times[:20])}" if times else "there is no timestamp column"
        )
        found = {}
        if self.time is None:
            found["time"] = f"should name the column of times; {some}"
        elif types[self.time] != "timestamp":
            found["time"] = f"{self.time!r} is a {types[self.time]} column, which is no time; {some}"
        taken = ("prediction", "lower", "upper")
        for name in self.series:
            if types[name] not in ("category", "text", "integer", "boolean"):
                found["series"] = f"{name!r} is a {types[name]} column; categories tell series apart"
            if name in taken:
                found["series"] = f"{name!r} is the name of an output: the column needs another"
        return found

    def misfit_columns(self, features: Sequence[Column]) -> dict[str, str]:
        """See `Params.misfit_columns`."""
        names = {column.name for column in features}
        strange = [name for name in self.known if name not in names]
        return {"known": f"{strange[0]!r} is none of the features"} if strange else {}

    def misfit_rows(self, rows: int, distinct_times: Mapping[str, int]) -> dict[str, str]:
        """See `Params.misfit_rows`. A series has each time once, so none is longer than there are times."""
        there = f"{rows} rows"
        times = distinct_times.get(self.time or "", rows)
        if times < rows:
            rows, there = times, f"{times} different times in {self.time}"
        if self.horizon < rows:
            return {}
        return {"horizon": f"{self.horizon} steps are more than a series can have here: there are {there}"}


class Forecast(Network):
    """The seasonal naive forecast, what a linear map of past changes adds to it, and what a network does.

    The linear map begins as a ridge regression, the network, which reads the window and the calendar of each
    step, as nothing; both then learn quantiles. Ends of intervals are moved so that on validation windows
    they hold the share that they should (conformalised quantile regression: Romano, Patterson, Candès 2019).
    At last the ridge regression is fitted again with the validation windows, which are the latest, and the
    difference added.
    """

    params_class = ForecastParams
    params: ForecastParams

    def __init__(self, params: Params, problem: Problem, model: Any = None) -> None:
        super().__init__(params, problem, model)
        self._begun = False
        self._widening = 0.0

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the ends and the median of each step, shape (horizon, 3)."""
        from keras import layers

        from headrace_workers.engine.forecasting.linear import read_of

        horizon = inputs["base"].shape[1]
        read = [inputs["history"]]
        if "observed" in inputs:
            read.append(layers.Flatten(name="flat")(inputs["observed"]))
        whole = layers.Concatenate(name="whole")(read) if len(read) > 1 else read[0]
        context = self.hidden(layers.Dense, "context", self.params.units)(whole)
        context = layers.Dropout(self.params.dropout, name="dropout")(context)
        steps = [layers.RepeatVector(horizon, name="repeated")(context), inputs["future"]]
        steps.append(layers.Reshape((horizon, 1), name="base_steps")(inputs["base"]))
        decoded = self.hidden(layers.Dense, "decoder", self.params.units)(
            layers.Concatenate(name="steps")(steps)
        )
        found = {}
        for end in ENDS:
            linear = layers.Dense(horizon, kernel_initializer="zeros", name=f"linear_{end}")(read_of(inputs))
            step = layers.Dense(1, kernel_initializer="zeros", name=f"step_{end}")(decoded)
            step = layers.Reshape((horizon,), name=f"steps_{end}")(step)
            found[end] = layers.Add(name=f"sum_{end}")([linear, step])
        median = layers.Add(name="median")([inputs["base"], found["median"]])
        below = layers.Activation("softplus", name="below")(found["lower"])
        above = layers.Activation("softplus", name="above")(found["upper"])
        ends = [
            layers.Subtract(name="lower")([median, below]),
            median,
            layers.Add(name="upper")([median, above]),
        ]
        return layers.Concatenate(name="output")(
            [
                layers.Reshape((horizon, 1), name=f"out_{name}")(end)
                for name, end in zip(ENDS, ends, strict=True)
            ]
        )

    def output(self, tensor: Any) -> Any:
        """Return ``tensor``: `build` has made the output."""
        return tensor

    def objective(self, training: Rows) -> Objective:
        """Return the pinball loss."""
        from headrace_workers.engine.forecasting.pinball import Pinball

        return Pinball(self.params.level)

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        """See `Learner.fit`."""
        from headrace_workers.engine.forecasting import linear

        first = linear.fit([training], self.problem.threads)
        if not self._begun and first is not None:
            self._begin(first)
        self._begun = True
        super().fit(training, validation, monitor)
        if validation is not None:
            self._widening = self._calibrated(validation)
            again = linear.fit([training, validation], self.problem.threads)
            if first is not None and again is not None:
                self._move(first, again)

    def predict(self, inputs: Arrays) -> NDArray[np.float32]:
        """Return lower end, median and upper end of each step in units of its window, (n, horizon, 3)."""
        found = super().predict(inputs)
        width = (found[:, :, 2] - found[:, :, 0]) * self._widening
        found[:, :, 0] -= width
        found[:, :, 2] += width
        return found

    def learned(self) -> Arrays:
        """Return the weights, and by how much intervals are widened."""
        import numpy as np

        return {**super().learned(), "widening": np.array(self._widening)}

    def load_state(self, state: State) -> None:
        """See `Learner.load_state`."""
        super().load_state(state)
        self._begun = True

    def save(self, folder: Path) -> None:
        """See `Learner.save`."""
        super().save(folder)
        (folder / INTERVALS_FILE).write_text(json.dumps({"widening": self._widening}))

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Forecast:
        """See `Learner.load`."""
        network = super().load(folder, params, problem)
        assert isinstance(network, Forecast)
        try:
            widening = json.loads((folder / INTERVALS_FILE).read_bytes())["widening"]
            network._widening = float(widening)
        except (OSError, ValueError, KeyError, TypeError):
            raise BadData(f"The package's {INTERVALS_FILE} does not say how wide intervals are.") from None
        return network

    def _begin(self, first: Linear) -> None:
        """Let the linear part be ``first``, and intervals hold the share that they should of its errors."""
        from headrace_workers.engine.forecasting.linear import spreads

        kernel, bias = self.model.get_layer("linear_median").weights
        kernel.assign(first.kernel)
        bias.assign(first.bias)
        for end, values in spreads(first.errors, self.params.level).items():
            self.model.get_layer(f"linear_{end}").weights[1].assign(values)

    def _move(self, first: Linear, again: Linear) -> None:
        kernel, bias = self.model.get_layer("linear_median").weights
        kernel.assign_add((again.kernel - first.kernel).astype("float32"))
        bias.assign_add((again.bias - first.bias).astype("float32"))

    def _calibrated(self, validation: Rows) -> float:
        """Return by which share of their width intervals have to grow at both ends."""
        import numpy as np

        scores = []
        for inputs, wanted in validation.blocks():
            found = super().predict(inputs)
            lower, upper = found[:, :, 0], found[:, :, 2]
            beyond = np.maximum(lower - wanted, wanted - upper) / np.maximum(upper - lower, 1e-6)
            scores.append(beyond[np.isfinite(beyond)])
        every = np.concatenate(scores)
        if len(every) < MIN_SCORES:
            return 0.0
        share = min(self.params.level * (1 + 1 / len(every)), 1.0)
        return max(float(np.quantile(every, share, method="higher")), NARROWEST)


ALGORITHM = Algorithm(
    name="forecast",
    title="Forecast of time series",
    summary="The next steps of one series or many, with intervals, by a network on windows of all of them.",
    source="Wen et al. 2017, A multi-horizon quantile recurrent forecaster; Romano et al. 2019 for intervals",
    tasks=("forecast",),
    features=("number", "integer", "boolean"),
    params=ForecastParams,
    code="headrace_workers.engine.algorithms.forecast:Forecast",
    needs_features=False,
    trial={"time": "time", "series": ["name"], "horizon": 6, "epochs": 5},
)
