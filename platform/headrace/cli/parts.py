"""The parts of a coordinator's work, as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.cli import output

if TYPE_CHECKING:
    from headrace.client.types import Job


def print_parts(parts: Sequence[Job]) -> None:
    """Print the parts, oldest first: what each tries, and what came of it."""
    columns = list(dict.fromkeys(name for part in parts for name in _tries(part)))
    valued = any("value" in (part["figures"] or {}) for part in parts)
    output.print_table(
        ["part", "id", "state", *columns, *(["value"] if valued else [])],
        [
            (
                part["part"],
                part["id"],
                state(part),
                *(_cell(_tries(part), name) for name in columns),
                *([(part["figures"] or {}).get("value")] if valued else []),
            )
            for part in parts
        ],
        empty="no parts yet",
    )


def state(part: Job) -> str:
    """Return how a part stands; one that its parent has given up is ``pruned``."""
    told = (part["figures"] or {}).get("state")
    return "pruned" if told == "pruned" else part["state"]


def _tries(part: Job) -> dict[str, Any]:
    return dict((part["figures"] or {}).get("params", {}))


def _cell(tries: dict[str, Any], name: str) -> Any:
    if name not in tries:
        return None
    value = tries[name]
    return value if isinstance(value, (str, int, float)) else json.dumps(value)
