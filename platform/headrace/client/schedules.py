"""The calls about schedules."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from headrace.client.calls import API, Calls
from headrace.client.types import Schedule, ScheduleRun


class ScheduleCalls(Calls):
    """Schedules and what became of their due times."""

    def create_schedule(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> Schedule:
        """Create a schedule given as the whole body of the request, and return it.

        For example ``{"cron": "0 3 * * *", "timezone": "Europe/Berlin", "job": {"kind": …, "spec": …}}``.
        """
        return self._post(f"{API}/schedules", body, idempotency_key or str(uuid.uuid4()))  # type: ignore[no-any-return]

    def schedules(self) -> Iterator[Schedule]:
        """Yield every schedule, newest first."""
        return self._pages(f"{API}/schedules")

    def schedule(self, id: str) -> Schedule:
        """Return one schedule."""
        return self._get(_schedule(id))  # type: ignore[no-any-return]

    def change_schedule(self, id: str, **fields: Any) -> Schedule:
        """Change the ``fields`` of a schedule and return it; ``enabled=False`` pauses it."""
        return self._transport.json("PATCH", _schedule(id), params=self._params({}), body=fields)  # type: ignore[no-any-return]

    def delete_schedule(self, id: str) -> None:
        """Delete a schedule and its runs; its jobs stay."""
        self._transport.json("DELETE", _schedule(id), params=self._params({}))

    def trigger_schedule(self, id: str, *, idempotency_key: str | None = None) -> ScheduleRun:
        """Submit the job of a schedule now, and return the run, which has the ``job``."""
        key = idempotency_key or str(uuid.uuid4())
        return self._post(f"{_schedule(id)}/trigger", None, key)  # type: ignore[no-any-return]

    def schedule_runs(self, id: str, *, limit: int | None = None) -> Iterator[ScheduleRun]:
        """Yield what became of the due times of a schedule, newest first: at most ``limit``."""
        return self._pages(f"{_schedule(id)}/runs", limit=limit)

    def next_due(self, id: str, count: int = 5) -> list[str]:
        """Return the next ``count`` due times of a schedule."""
        return self._get(f"{_schedule(id)}/next", count=count)["items"]  # type: ignore[no-any-return]


def _schedule(id: str) -> str:
    return f"{API}/schedules/{quote(id, safe='')}"
