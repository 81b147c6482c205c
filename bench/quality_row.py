"""What a row of `bench/quality.md` is: how it is measured, and what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from headrace.client import Client

Better = Literal["higher", "lower"]
Params = Mapping[str, Any]

ERRORS = 2
R2 = "R²"
LARGEST_LOSS = 0.02
"""By this share may the default params be worse than the best that were found by hand."""


class Score(NamedTuple):
    """How good our job is with some params, on the test rows."""

    metric: str
    value: float
    better: Better = "higher"


class Result(NamedTuple):
    """Our job beside its peer, on the same test rows.

    ``error``: the standard error of the difference. ``peer_is``: what the peer is, in a few words. ``least``:
    what ours must reach besides. ``also``: other figures by name, of ours and of the peer.
    """

    metric: str
    ours: float
    peer: float
    error: float
    peer_is: str
    better: Better = "higher"
    least: float | None = None
    also: Mapping[str, tuple[float, float]] = {}

    @property
    def score(self) -> Score:
        """What ours has."""
        return Score(self.metric, self.ours, self.better)

    @property
    def lead(self) -> float:
        """By how much ours is better."""
        return self.ours - self.peer if self.better == "higher" else self.peer - self.ours

    @property
    def met(self) -> bool:
        """Whether ours is as good as the peer, within the noise, and as good as it must be."""
        return self.lead >= -ERRORS * self.error and self.reached

    @property
    def reached(self) -> bool:
        """Whether ours reaches ``least``."""
        if self.least is None:
            return True
        return self.ours >= self.least if self.better == "higher" else self.ours <= self.least


class Row(NamedTuple):
    """One algorithm on the data set of a module.

    ``compare`` runs our job under the default params, and the peer. ``score`` runs our job under other
    params, for the same metric; ``candidates`` are those that were found by hand to do better, or as well.
    """

    algorithm: str
    compare: Callable[[Client], Result]
    score: Callable[[Client, Params], Score] | None = None
    candidates: Sequence[Params] = ()


def ratio(default: Score, tuned: Score) -> float:
    """Return how near ``default`` comes to ``tuned``: 1 where equal, less where worse.

    Of R², it is the ratio of the root mean squared errors: a share of R² means little where R² is small.
    """
    if default.metric == R2:
        return math.sqrt((1 - tuned.value) / (1 - default.value))
    if default.better == "higher":
        return default.value / tuned.value if tuned.value > 0 else math.nan
    return tuned.value / default.value if default.value > 0 else 1.0


def well_chosen(default: Score, tuned: Score) -> bool:
    """Return whether ``default`` is near enough."""
    if default.metric != tuned.metric:
        raise ValueError(f"cannot compare {default.metric} with {tuned.metric}")
    return ratio(default, tuned) >= 1 - LARGEST_LOSS
