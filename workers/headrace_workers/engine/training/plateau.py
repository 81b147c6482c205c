"""Smaller steps when it gets no better."""

from __future__ import annotations

from typing import Any

FACTOR = 0.5
"""What the learning rate is multiplied by."""


class Plateau:
    """Watches one loss, epoch by epoch. With ``patience`` None the learning rate stays as it is."""

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self._best: float | None = None
        self._waited = 0

    def update(self, loss: float, learning_rate: Any) -> None:
        """Take note of ``loss`` after an epoch; lower the variable ``learning_rate`` if it was in vain.

        That is when the loss has not fallen for ``patience`` epochs, counted anew from then on.
        """
        if self._patience is None:
            return
        if self._best is None or loss < self._best:
            self._best, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited == self._patience:
            self._waited = 0
            learning_rate.assign(learning_rate * FACTOR)

    def state(self) -> dict[str, Any]:
        """Return the counters; the learning rate itself is the optimizer's."""
        return {"best": self._best, "waited": self._waited}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to where another one of the same patience was."""
        self._best, self._waited = state["best"], state["waited"]
