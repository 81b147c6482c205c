"""Stopping when it gets no better, with the best weights."""

from __future__ import annotations

from typing import Any

from headrace_workers.engine.algorithms.base import State


class EarlyStopping:
    """Watches one loss, epoch by epoch. With ``patience`` None it never stops and keeps the last weights."""

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self._best: float | None = None
        self._waited = 0
        self._weights: list[Any] = []

    @property
    def stopped(self) -> bool:
        """Whether the loss has not fallen for ``patience`` epochs."""
        return self._patience is not None and self._waited >= self._patience

    def update(self, loss: float, variables: list[Any]) -> None:
        """Take note of ``loss`` after an epoch, and of the model's ``variables`` if it is the best."""
        if self._patience is None:
            return
        if self._best is None or loss < self._best:
            self._best, self._waited = loss, 0
            self._weights = [variable.numpy() for variable in variables]
        else:
            self._waited += 1

    def restore(self, variables: list[Any]) -> None:
        """Assign the best weights, where any were kept."""
        if self._weights:
            for variable, value in zip(variables, self._weights, strict=True):
                variable.assign(value)

    def state(self) -> State:
        """Return counters and the best weights."""
        arrays = {str(i): value for i, value in enumerate(self._weights)}
        return State(arrays, {"best": self._best, "waited": self._waited})

    def load_state(self, state: State) -> None:
        """Go to where another one of the same patience was."""
        self._best, self._waited = state.values["best"], state.values["waited"]
        self._weights = [state.arrays[str(i)] for i in range(len(state.arrays))]
