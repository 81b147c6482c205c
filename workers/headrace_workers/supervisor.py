"""The supervisor: slots that claim jobs and run them, and what wakes them.

A slot is a thread that claims, runs the attempt and claims again; with nothing to claim it waits to be woken
by a ticket, for a second at most, then looks for itself. `wake` and the slots share a counter, so that a
ticket that comes between the look and the wait is not missed.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from sqlalchemy.orm import Session

from headrace import pulse
from headrace.artifacts import service as artifacts
from headrace.artifacts.store import open_store
from headrace.config import Settings
from headrace.db import AWAY, clock
from headrace.dispatch import dispatching_database
from headrace.jobs import claims, workers
from headrace.jobs.kinds import Lane, Runtime
from headrace.jobs.leases import Lease
from headrace_workers.attempt import Site, run_attempt
from headrace_workers.hearing import Hearing
from headrace_workers.job_process import ForkServer
from headrace_workers.scratch import Scratch, sweep

SEEN_EVERY_S = 5.0
_READY_PATIENCE_S = 1.0
_PAUSE_S = 1.0
_log = logging.getLogger(__name__)

PRELOADS: Mapping[Runtime, str] = {"plain": "light", "tensorflow": "heavy"}
"""What the fork server of each runtime imports before it forks."""

NEEDS: Mapping[Lane, tuple[Runtime, ...]] = {"light": ("plain",), "heavy": ("plain", "tensorflow")}
"""Which fork servers must be ready before a slot claims."""


class Supervisor:
    """The slots of one worker. `run` returns when `stop` was called and every job was handed back.

    ``preloads`` says what the fork server of each runtime imports; runtimes that say the same share one.
    ``on_deaf`` may be set to what is to be done when tickets seem to reach this worker no more.
    """

    def __init__(self, settings: Settings, preloads: Mapping[Runtime, str] = PRELOADS) -> None:
        self.settings = settings
        self.on_deaf: Callable[[], None] = lambda: None
        self._hearing = Hearing(lambda: self.on_deaf())
        self._preloads = preloads
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._scratch = settings.data / "scratch"
        self._stop = threading.Event()
        self._tickets = 0
        self._woken = threading.Condition()

    def wake(self) -> None:
        """Let idle slots look for a job now."""
        self._hearing.heard()
        with self._woken:
            self._tickets += 1
            self._woken.notify_all()

    def stop(self) -> None:
        """Begin to shut down: kill the jobs and hand them back. Safe in a signal handler's thread."""
        self._stop.set()
        self.wake()

    def run(self) -> None:
        """Serve until stopped."""
        settings = self.settings
        sweep(self._scratch)
        # Job processes must find the plug-ins that this process finds.
        same_code = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        db, dispatcher = dispatching_database(settings.database_url, settings.broker_url)
        store = open_store(settings.artifacts_url)
        artifacts.guard(db, store)
        try:
            with ExitStack() as stack:
                scratch = stack.enter_context(Scratch(self._scratch))
                started = {
                    preload: stack.enter_context(ForkServer(preload, scratch, environment=same_code))
                    for preload in set(self._preloads.values())
                }
                site = Site(
                    settings=settings,
                    db=db,
                    store=store,
                    scratch=scratch,
                    servers={runtime: started[preload] for runtime, preload in self._preloads.items()},
                    stop=self._stop,
                )
                self._run_slots(site)
        finally:
            dispatcher.close()
            db.close()

    def _run_slots(self, site: Site) -> None:
        """Start the slots, say that this worker lives until it is stopped, and wait for the slots to end."""
        slots = [
            threading.Thread(target=self._serve, args=(site, lane), name=f"slot-{lane}", daemon=True)
            for lane in ("light", *["heavy"] * self.settings.slots)
        ]
        for slot in slots:
            slot.start()
        self._be_seen(site)
        for slot in slots:
            slot.join()

    def _serve(self, site: Site, lane: Lane) -> None:
        needs = [server for runtime, server in site.servers.items() if runtime in NEEDS[lane]]
        announced = True
        while not self._stop.is_set():
            try:
                if all(server.ready(_READY_PATIENCE_S) for server in needs):
                    announced = self._serve_one(site, lane, announced)
            except Exception:
                # Whatever it was, the slot must live on: a dead one would look idle. If a job was claimed,
                # its lease expires and it runs again.
                _log.exception("a slot was disturbed")
                self._stop.wait(_PAUSE_S)

    def _serve_one(self, site: Site, lane: Lane, announced: bool) -> bool:
        """Run a job; where there is none, wait for a ticket or until it is time to look again.

        ``announced`` is False where the last such wait brought no ticket; return it for the next time.
        """
        seen = self._tickets
        lease = self._claim(site, lane)
        if lease is None:
            return self._wait(seen)
        if not announced:
            self._hearing.found()
        run_attempt(site, lease)
        return True

    def _wait(self, seen: int) -> bool:
        """Wait for a ticket that came after the count was ``seen``, or until it is time to look again.

        Return whether one came.
        """
        with self._woken:
            return self._woken.wait_for(lambda: self._tickets != seen, timeout=self.settings.poll_s)

    def _claim(self, site: Site, lane: Lane) -> Lease | None:
        try:
            with site.db.transaction() as session:
                return claims.claim(
                    session,
                    worker=self.name,
                    queues=self.settings.queues,
                    lane=lane,
                    now=clock(session),
                    lease_s=self.settings.lease_s,
                )
        except AWAY as error:
            _log.warning("cannot claim, trying again: %s", error)
            return None

    def _be_seen(self, site: Site) -> None:
        """Tell the database that this worker lives, from the moment that it can run jobs until it stops.

        And remove what others on this machine left that live no more.
        """
        with site.db.read() as session:
            started_at = clock(session)
        while not self._stop.is_set():
            if all(server.ready(_READY_PATIENCE_S) for server in site.servers.values()):
                pulse.beat(self.settings, "worker")
                self._say(
                    site,
                    lambda session: workers.seen(
                        session,
                        self.name,
                        queues=self.settings.queues,
                        slots=self.settings.slots,
                        started_at=started_at,
                        now=clock(session),
                    ),
                )
                sweep(self._scratch)
                self._stop.wait(SEEN_EVERY_S)
        self._say(site, lambda session: workers.gone(session, self.name))

    @staticmethod
    def _say(site: Site, write: Callable[[Session], None]) -> None:
        try:
            with site.db.transaction() as session:
                write(session)
        except AWAY as error:
            _log.warning("cannot say that this worker lives: %s", error)
