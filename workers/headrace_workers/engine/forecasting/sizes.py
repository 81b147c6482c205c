"""How long a season and a window are, where the spec leaves it to the data."""

from __future__ import annotations

from headrace.errors import BadSpec
from headrace_workers.engine.algorithms.forecast import ForecastParams
from headrace_workers.engine.forecasting.steps import Step

SEASONS = 3
WITHOUT_SEASON = 12


def choose(params: ForecastParams, step: Step, longest: int) -> tuple[int, int]:
    """Return the season and the window; ``longest``: how many training steps the longest series has.

    A window is three seasons, or as many as leave half of the training steps to learn from. Raises
    `BadSpec` where the series are too short for what the params ask for.
    """
    season, room = params.season or step.season, longest - params.horizon
    if params.season is None and season > room // 2:
        season = 1
    if params.window is not None:
        window = params.window
    elif season == 1:
        window = max(min(max(WITHOUT_SEASON, params.horizon), room // 2), 2)
    else:
        window = max(min(SEASONS, room // 2 // season), 1) * season
    if window < season:
        raise BadSpec(f"window: {window} steps are fewer than a season of {season}; more, or season: 1.")
    if window + params.horizon > longest:
        raise BadSpec(
            f"horizon: a window of {window} steps and a horizon of {params.horizon} are longer than the "
            f"training part of every series; the longest has {longest} steps."
        )
    return season, window
