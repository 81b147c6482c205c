"""How an attempt ended, before any of it is written down."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.specs.task import Done


@dataclass(frozen=True, kw_only=True)
class Computed:
    """The job process is dead and has said that it is done; its outputs lie in the scratch folder."""

    done: Done


@dataclass(frozen=True, kw_only=True)
class Broken:
    """The attempt failed. ``retryable``: another attempt may do better."""

    type: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class Cancelled:
    """A person asked to cancel, and the job process is dead."""


@dataclass(frozen=True)
class HandedBack:
    """The worker shuts down, and the job process is dead."""


Outcome = Computed | Broken | Cancelled | HandedBack


class Interrupted(Exception):
    """The attempt must stop now, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(type(outcome).__name__)
        self.outcome = outcome
