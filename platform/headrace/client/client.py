"""The calls of the API, as methods; those about models, schedules and teams are in modules of their own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from headrace.client import discovery, live
from headrace.client.calls import API, PAGE
from headrace.client.errors import ApiError, NotLive, Unreachable, WaitedTooLong
from headrace.client.explanations import ExplanationCalls
from headrace.client.models import ModelCalls
from headrace.client.online import OnlineCalls
from headrace.client.schedules import ScheduleCalls
from headrace.client.team import TeamCalls
from headrace.client.transport import ProgressCallback, Transport
from headrace.client.types import (
    FINAL,
    Dataset,
    DatasetVersion,
    Event,
    Job,
)
from headrace.config import Settings
from headrace.errors import HeadraceError

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".zip": "application/zip",
}
FIRST_POLL_S = 0.1
POLL_SHARE = 0.01
LONGEST_POLL_S = 1.0
LIVE_AGAIN_S = 5.0
"""How long to look at the list of events before asking for a live stream again."""
PATIENCE_S = 60.0
"""How long a wait goes on through a server that cannot be reached, as while it is restarted."""


class Client(ModelCalls, ScheduleCalls, TeamCalls, OnlineCalls, ExplanationCalls):
    """A connection to one Headrace server, acting in one project.

    ``url``: the server; by default ``HEADRACE_URL``, else the one that runs on the data folder, else
    ``http://127.0.0.1:8700``. ``key``: by default ``HEADRACE_KEY``, else, for a server of this machine, the
    one in the data folder's ``admin.key``. ``project``: another one than the key's, for admin keys.
    ``transport`` replaces the network (`httpx.BaseTransport`). Thread-safe. Every method may raise
    `ApiError` and `Unreachable`.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        project: str | None = None,
        settings: Settings | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        server = discovery.server(settings or Settings.load(), url, key)
        self.url = server.url
        self.project = project
        self._sleep = sleep
        self._transport = Transport(server.url, server.key, transport=transport, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # Datasets

    def upload_dataset(
        self,
        name: str,
        path: str | Path,
        *,
        media_type: str | None = None,
        types: Mapping[str, str] | None = None,
        progress: ProgressCallback | None = None,
        idempotency_key: str | None = None,
    ) -> DatasetVersion:
        """Upload a file as a new version of dataset ``name`` and return it, mostly still ``ingesting``.

        The same bytes again give the version that has them. ``media_type`` follows from the suffix;
        ``types`` overrides column types. The file is read twice: for its digest, which the server checks,
        and to send it. Raises HeadraceError where the file cannot be read or its suffix says nothing.
        """
        path = Path(path)
        media_type = media_type or MEDIA_TYPES.get(path.suffix.lower())
        if media_type is None:
            known = ", ".join(MEDIA_TYPES)
            raise HeadraceError(
                f"cannot tell what {path.name} is: name its media type, or use one of {known}"
            )
        params = {"filename": path.name}
        if types:
            params["types"] = ",".join(f"{column}:{type_}" for column, type_ in types.items())
        version: DatasetVersion = self._upload(
            f"{_dataset(name)}/versions", path, media_type, params, progress, idempotency_key
        )
        return version

    def datasets(self) -> Iterator[Dataset]:
        """Yield every dataset, newest first."""
        return self._pages(f"{API}/datasets")

    def dataset(self, name: str) -> Dataset:
        """Return one dataset."""
        return self._get(_dataset(name))  # type: ignore[no-any-return]

    def dataset_versions(self, name: str) -> Iterator[DatasetVersion]:
        """Yield every version of a dataset, newest first."""
        return self._pages(f"{_dataset(name)}/versions")

    def dataset_version(self, name: str, version: int) -> DatasetVersion:
        """Return one version of a dataset."""
        return self._get(f"{_dataset(name)}/versions/{version}")  # type: ignore[no-any-return]

    def profile(self, name: str, version: int) -> dict[str, Any]:
        """Return what was found in each column of a version, and why it has its type."""
        return self._get(f"{_dataset(name)}/versions/{version}/profile")  # type: ignore[no-any-return]

    def wait_dataset(
        self,
        name: str,
        version: int,
        *,
        timeout_s: float | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> DatasetVersion:
        """Wait until a version is ingested, and return it.

        Raises HeadraceError with the reason when that fails, `WaitedTooLong` after ``timeout_s``.
        """
        found = self.dataset_version(name, version)
        if found["state"] == "ingesting":
            self.wait(found["job"], timeout_s=timeout_s, on_event=on_event)
            found = self.dataset_version(name, version)
        if found["state"] == "failed":
            reason = found.get("error") or {}
            message = reason.get("message") if isinstance(reason, dict) else str(reason)
            raise HeadraceError(f"{name}@{version} could not be ingested: {message}")
        return found

    # Jobs

    def submit(
        self,
        kind: str,
        spec: Mapping[str, Any],
        *,
        name: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        max_attempts: int | None = None,
        timeout_s: float | None = None,
        depends_on: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job and return it. What is None is left to the server's defaults.

        A value of ``spec`` may come from a job in ``depends_on``: ``{"$result": "job_…", "path": "rows"}``;
        ``{"model": {"$result": "job_…"}}`` is the version that a train job makes.
        """
        fields = {
            "name": name,
            "priority": priority,
            "queue": queue,
            "max_attempts": max_attempts,
            "timeout_s": timeout_s,
            "depends_on": list(depends_on) if depends_on is not None else None,
            "tags": dict(tags) if tags is not None else None,
        }
        given = {field: value for field, value in fields.items() if value is not None}
        return self.submit_body({"kind": kind, "spec": dict(spec), **given}, idempotency_key=idempotency_key)

    def submit_body(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Submit a job given as the whole body of the request, and return it."""
        return self._post(f"{API}/jobs", body, idempotency_key or str(uuid.uuid4()))  # type: ignore[no-any-return]

    def job(self, id: str) -> Job:
        """Return one job."""
        return self._get(_job(id))  # type: ignore[no-any-return]

    def jobs(self, *, limit: int | None = None, **filters: str | None) -> Iterator[Job]:
        """Yield jobs, newest first: at most ``limit`` of those that match ``filters``.

        Filters are those of the API: ``state``, ``kind``, ``queue``, ``model``, ``dataset``, ``tag``
        (``key:value``), ``created_after``, ``created_before``, ``q``, ``parent`` (the job that they are parts
        of).
        """
        return self._pages(f"{API}/jobs", limit=limit, **filters)

    def cancel(self, id: str) -> Job:
        """Cancel a job and return it. A queued one is ``cancelled`` at once, a running one within seconds."""
        return self._post(f"{_job(id)}/cancel")  # type: ignore[no-any-return]

    def retry(self, id: str, *, resume: bool = False, idempotency_key: str | None = None) -> Job:
        """Submit a failed or cancelled job again, as a new job, which is returned.

        With ``resume`` it goes on from the last checkpoint, where there is one.
        """
        key = idempotency_key or str(uuid.uuid4())
        return self._post(f"{_job(id)}/retry", {"resume": resume}, key)  # type: ignore[no-any-return]

    def events(self, id: str, *, after: int = 0) -> Iterator[Event]:
        """Yield what has happened to a job so far, oldest first, from event number ``after`` + 1 on."""
        while True:
            page = self._get(f"{_job(id)}/events", after=after, limit=PAGE)
            for event in page["items"]:
                after = event["seq"]
                yield event
            if page["next_cursor"] is None:
                return

    def live_events(self, id: str, *, after: int = 0, timeout_s: float | None = None) -> Iterator[Event]:
        """Yield what happens to a job as it happens, from event number ``after`` + 1 on.

        Ends after the job's final state, after ``timeout_s``, and when the stream breaks off, as it does when
        the server is restarted: `wait` goes on then. Raises `NotLive` where the server gives no stream now.
        """
        end = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
        # A read cannot be cut short once it waits.
        silence_s = live.SILENCE_S if timeout_s is None else min(max(timeout_s, 0.001), LONGEST_POLL_S)
        try:
            with self._transport.stream(
                f"{_job(id)}/events",
                params=self._params({"after": after}),
                headers={"Accept": live.MEDIA_TYPE},
                silence_s=silence_s,
            ) as response:
                if not response.headers.get("content-type", "").startswith(live.MEDIA_TYPE):
                    raise NotLive
                for event in live.read_events(response.iter_lines()):
                    if event is not None:
                        yield event
                    if time.monotonic() > end:
                        return
        except httpx.TransportError:
            return
        except ApiError as error:
            if error.status == 503:
                raise NotLive from None
            raise

    def wait(
        self, id: str, *, timeout_s: float | None = None, on_event: Callable[[Event], None] | None = None
    ) -> Job:
        """Wait until a job is in its final state and return it, whatever that state is.

        ``on_event`` is called with each event as it happens, in order, none left out and none twice; where
        the server has no live stream left, a second or so afterwards. A server that goes away meanwhile is
        waited for. Raises `WaitedTooLong` after ``timeout_s``.
        """
        start = time.monotonic()
        end = None if timeout_s is None else start + timeout_s
        seen = 0
        unreachable_since: float | None = None
        live_again = 0.0
        while True:
            try:
                if on_event and time.monotonic() >= live_again:
                    try:
                        left_s = None if end is None else end - time.monotonic()
                        for event in self.live_events(id, after=seen, timeout_s=left_s):
                            seen = event["seq"]
                            on_event(event)
                    except NotLive:
                        live_again = time.monotonic() + LIVE_AGAIN_S
                # The job first: once its state is final, the events read afterwards are all there are.
                job = self.job(id)
                if on_event:
                    for event in self.events(id, after=seen):
                        seen = event["seq"]
                        on_event(event)
                if job["state"] in FINAL:
                    return job
                unreachable_since = None
            except Unreachable:
                unreachable_since = unreachable_since or time.monotonic()
                if time.monotonic() - unreachable_since > PATIENCE_S:
                    raise
            left = float("inf") if end is None else end - time.monotonic()
            if left <= 0:
                raise WaitedTooLong(f"{id} has not ended within {timeout_s:g} s. It goes on; wait again.")
            # Short jobs are looked at often, long ones seldom: nobody waits much longer than the job took.
            pause = POLL_SHARE * (time.monotonic() - start)
            self._sleep(min(max(pause, FIRST_POLL_S), LONGEST_POLL_S, left))

    def metrics(self, id: str) -> dict[str, list[tuple[int, float]]]:
        """Return the learning curves of a job: for each name its ``[step, value]`` pairs."""
        return self._get(f"{_job(id)}/metrics")["series"]  # type: ignore[no-any-return]

    def logs(self, id: str, *, attempt: int | None = None) -> str:
        """Return the log of a job, or that of one attempt."""
        return self._transport.send("GET", f"{_job(id)}/logs", params=self._params({"attempt": attempt})).text

    def output(self, id: str, path: str | Path, *, progress: ProgressCallback | None = None) -> str:
        """Write the output of a job to ``path``, checked and whole or not at all; return its digest.

        Raises `headrace.errors.DigestMismatch`.
        """
        return self._transport.download(
            f"{_job(id)}/output", Path(path), params=self._params({}), progress=progress
        )

    def job_evaluation(self, id: str) -> dict[str, Any]:
        """Return what an evaluate job has found."""
        return self._get(f"{_job(id)}/evaluation")  # type: ignore[no-any-return]

    # Health

    def ready(self) -> bool:
        """Return whether the server says that it can accept and run jobs."""
        try:
            self._transport.send("GET", "/readyz", retry=False)
        except (ApiError, Unreachable):
            return False
        return True


def _dataset(name: str) -> str:
    return f"{API}/datasets/{quote(name, safe='')}"


def _job(id: str) -> str:
    return f"{API}/jobs/{quote(id, safe='')}"
