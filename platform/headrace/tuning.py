"""Which params the next trial tries, and which trials are not worth going on with: Optuna, asked and told.

Nothing of Optuna's is kept: each question builds a study from the trials that may be known and forgets it, so
that the same trials always give the same answer. Optuna is imported by the question, since that takes a
second.

Samplers and pruners: Bergstra et al. 2011, Algorithms for hyper-parameter optimization (TPE, with the lies of
Ginsbourger et al. 2010 about trials that run still); Li et al. 2018, Hyperband.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from headrace.specs.tuning import Tried

if TYPE_CHECKING:
    import optuna

MOST_STEPS = 1e9
"""A range of more steps is not counted."""

Curve = tuple[tuple[int, float], ...]
Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One param that is tried: ``choices``, or numbers from ``low`` to ``high``."""

    integer: bool = False
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] | None = None

    @classmethod
    def of(cls, tried: Tried, *, integer: bool = False) -> Dimension:
        """Return the dimension for what a spec says of a param."""
        if tried.choices is not None:
            return cls(choices=tuple(tried.choices))
        low, high = tried.low or 0.0, tried.high or 0.0
        step = tried.step or (1.0 if integer and not tried.log else None)
        return cls(integer=integer, low=low, high=high, log=tried.log, step=step)

    @property
    def size(self) -> int | None:
        """How many values there are, None where they are not countable."""
        if self.choices is not None:
            return len(self.choices)
        if self.step is None:
            return None
        # The last step may fall short of the end by rounding.
        steps = (self.high - self.low) / self.step * (1 + 1e-12)
        return math.floor(steps) + 1 if steps < MOST_STEPS else None

    def point(self, index: int) -> Any:
        """Return the value number ``index``, where they are countable."""
        if self.choices is not None:
            return self.choices[index]
        value = self.low + (self.step or 0.0) * index
        return int(value) if self.integer else value

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """Return it as Optuna's; choices by their number, since they may be of any kind."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution(list(range(len(self.choices))))
        if self.integer:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def outer(self, inner: Any) -> Any:
        """Return the param's value for Optuna's."""
        return inner if self.choices is None else self.choices[inner]

    def inner(self, outer: Any) -> Any:
        """Return Optuna's value for the param's."""
        return outer if self.choices is None else self.choices.index(outer)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is known of a trial. ``curve``: the metric's (step, value) pairs, in order; ``step``: the one at
    which it was pruned.
    """

    number: int
    values: Values = field(hash=False)
    state: Literal["running", "complete", "pruned", "failed"]
    value: float | None = None
    curve: Curve = ()
    step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search: its space by path, how it is gone about, and how many steps a trial has at most."""

    space: Mapping[str, Dimension] = field(hash=False)
    higher_is_better: bool
    sampler: str
    pruner: str = "none"
    seed: int = 0
    most_steps: int | None = None

    @property
    def points(self) -> int:
        """How many points a grid has, where all dimensions are countable."""
        return math.prod(dimension.size or 0 for dimension in self.space.values())

    def _grid_point(self, number: int) -> Values:
        """Return point ``number`` of the grid; the last param changes fastest."""
        values: Values = {}
        for path, dimension in reversed(list(self.space.items())):
            number, index = divmod(number, dimension.size or 1)
            values[path] = dimension.point(index)
        return {path: values[path] for path in self.space}

    def ask(self, number: int, known: Sequence[Trial]) -> Values:
        """Return the values of trial ``number``, where ``known`` are those before it, in their order."""
        if self.sampler == "grid":
            return self._grid_point(number)
        study = self._study(number)
        self._tell(study, known)
        asked = study.ask({path: dimension.distribution() for path, dimension in self.space.items()})
        return {path: self.space[path].outer(value) for path, value in asked.params.items()}

    @lru_cache(maxsize=256)  # noqa: B019 - a search is a value
    def pruned_at(self, trial: Trial, known: tuple[Trial, ...]) -> int | None:
        """Return the step after which ``trial`` is not worth going on with, judged by the trials ``known``
        before it; None while it is.
        """
        if self.pruner == "none" or not trial.curve:
            return None
        study = self._study(trial.number)
        for before in known:
            self._replay(study, before)
        while len(study.get_trials(deepcopy=False)) < trial.number:
            study.ask()  # those between are not known yet; hyperband goes by the number
        asked = study.ask()
        for step, value in trial.curve:
            asked.report(value, step)
            if asked.should_prune():
                return step
        return None

    def _replay(self, study: optuna.Study, trial: Trial) -> None:
        """Let ``trial`` run again: a halving pruner notes on the way how good it was at which rung."""
        asked = study.ask()
        for step, value in trial.curve:
            asked.report(value, step)
            asked.should_prune()
        study.tell(asked, trial.value if trial.state == "complete" else None, state=_state(trial))

    def _study(self, number: int) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # A sequence of its own for each trial: what one draws does not depend on who drew before.
        seed = _mixed(self.seed, number)
        sampler: optuna.samplers.BaseSampler
        if self.sampler == "tpe":
            sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        else:
            sampler = optuna.samplers.RandomSampler(seed=seed)
        return optuna.create_study(
            study_name="tune",
            direction="maximize" if self.higher_is_better else "minimize",
            sampler=sampler,
            pruner=self._pruner(),
        )

    def _pruner(self) -> optuna.pruners.BasePruner:
        from optuna import pruners

        if self.pruner == "median":
            return pruners.MedianPruner()
        if self.pruner == "successive_halving":
            return pruners.SuccessiveHalvingPruner(min_resource=1)
        if self.pruner == "hyperband":
            return pruners.HyperbandPruner(max_resource=self.most_steps or "auto")
        return pruners.NopPruner()

    def _tell(self, study: optuna.Study, known: Sequence[Trial]) -> None:
        from optuna.trial import create_trial

        distributions = {path: dimension.distribution() for path, dimension in self.space.items()}
        for trial in known:
            study.add_trial(
                create_trial(
                    state=_state(trial),
                    params={path: self.space[path].inner(value) for path, value in trial.values.items()},
                    distributions=distributions,
                    value=trial.value if trial.state in ("complete", "pruned") else None,
                    intermediate_values=dict(trial.curve),
                )
            )


def _state(trial: Trial) -> optuna.trial.TrialState:
    from optuna.trial import TrialState

    return {
        "running": TrialState.RUNNING,
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }[trial.state]


def _mixed(seed: int, number: int) -> int:
    import numpy as np

    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
