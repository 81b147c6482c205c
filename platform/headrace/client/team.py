"""The calls about who works here, and on what: keys, projects, workers, queues, costs, the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Literal
from urllib.parse import quote

from headrace.client.calls import API, Calls
from headrace.client.types import Act, Key, Project, Queue, TotalCost, Worker


class TeamCalls(Calls):
    """Keys, projects, workers, queues, and who did what."""

    def create_key(
        self, *, role: str, name: str, project: str | None = None, expires_at: str | None = None
    ) -> Key:
        """Make an API key and return it; this is the only time that its ``key`` is shown."""
        body = {"role": role, "name": name, "project": project, "expires_at": expires_at}
        return self._post(f"{API}/keys", {k: v for k, v in body.items() if v is not None})  # type: ignore[no-any-return]

    def api_keys(self) -> Iterator[Key]:
        """Yield the keys of the project, newest first."""
        return self._pages(f"{API}/keys")

    def revoke_key(self, id: str) -> None:
        """Make a key worthless."""
        self._transport.json("DELETE", f"{API}/keys/{quote(id, safe='')}", params=self._params({}))

    def projects(self) -> Iterator[Project]:
        """Yield the projects that the key may see: its own, with an admin's all."""
        return self._pages(f"{API}/projects")

    def update_project(self, name: str, **changes: float | None) -> Project:
        """Change the limits of a project and return it; None takes a limit away. Only an admin may."""
        path = f"{API}/projects/{quote(name, safe='')}"
        return self._transport.json("PATCH", path, params=self._params({}), body=changes)  # type: ignore[no-any-return]

    def workers(self) -> Iterator[Worker]:
        """Yield every worker, by name."""
        return self._pages(f"{API}/workers")

    def queues(self) -> Iterator[Queue]:
        """Yield the queues that are served or that the project has jobs in, by name."""
        return self._pages(f"{API}/queues")

    def costs(
        self,
        by: Literal["project", "model", "schedule"] = "project",
        *,
        since: date | None = None,
        until: date | None = None,
    ) -> Iterator[TotalCost]:
        """Yield what jobs have used, added up over attempts that ended from one day (UTC) to another."""
        first, last = (None if day is None else day.isoformat() for day in (since, until))
        return self._pages(f"{API}/costs", by=by, since=first, until=last)

    def audit(self, *, limit: int | None = None) -> Iterator[Act]:
        """Yield what was done in the project, newest first, at most ``limit`` acts."""
        return self._pages(f"{API}/audit", limit=limit)
