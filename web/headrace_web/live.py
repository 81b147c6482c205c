"""Live events of jobs as server-sent events (SSE).

One thread per web process looks into SQL for all jobs that are watched, and only while some are: one cheap
look at their counters a poll, and one query for what is new. What it finds is written as SSE once and handed
to every viewer's queue, so that a hundred viewers of one job cost one query and a hundred sends::

    SQL ◀── poller ──▶ channel of a job (number of the last event seen) ──▶ queue ─▶ viewer's own thread
    SQL ◀───────────────────── what was before, up to that number ─────────────────▶ viewer's own thread

- A viewer joins its job's channel first and then reads from SQL what came before the channel's number. So it
  sees every event once and in order, whenever it came; resuming (`Last-Event-ID`) is nothing special.
  It may know more than its channel, having listed events that the poller has yet to find: it is spared those.
- A viewer too slow to empty its queue is let go. It comes back where it was.
- Each stream holds one thread of the server: `Feed` opens so many at most, for which the server has threads
  beyond those that answer the other requests (`headrace_web.server`).
- Nobody keeps a process from ending: all streams end when it stops, and viewers resume with the next one.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from headrace.db import AWAY, Database
from headrace.errors import HeadraceError, Unavailable
from headrace.jobs import queries
from headrace.jobs.states import FINAL
from headrace.jobs.tables import Job, JobEvent

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
POLL_S = 0.25
HEARTBEAT_S = 10.0
"""A comment goes out after so long without an event, so that proxies keep the connection, and a viewer that
has gone is noticed."""
RECHECK_S = 60.0
"""How often a stream asks whether its viewer may still see it."""
RETRY_MS = 1000
MOST_WAITING = 100
PAGE = 500
AWAY_S = 1.0
THREAD = "live events"

Frame = Callable[[JobEvent], str]
"""Makes an event the JSON text of its ``data:`` line."""


class Feed:
    """The live streams of one process: at most ``most`` at once. Thread-safe; `close` ends them."""

    def __init__(self, database: Database, *, most: int, frame: Frame) -> None:
        self.most = most
        self._database = database
        self._frame = frame
        self._lock = threading.Lock()
        self._channels: dict[str, _Channel] = {}
        self._open = 0
        self._poller: threading.Thread | None = None
        self._stop = threading.Event()
        self._should_stop: Callable[[], bool] = self._stop.is_set

    def open(self, job: Job, *, after: int, check: Callable[[], object]) -> Stream:
        """Return the stream of ``job``'s events with a number above ``after``.

        ``check`` raises a HeadraceError once the viewer may no longer see them, which ends the stream.
        Raises Unavailable when too many are open already.
        """
        with self._lock:
            if self._open >= self.most or self._should_stop():
                raise Unavailable(f"{self._open} live streams are open here, which is the limit; try again.")
            self._open += 1
            head = job.event_seq
            stream = Stream(self, job.id, check)
            if job.state not in FINAL:
                channel = self._channels.setdefault(job.id, _Channel(head))
                channel.streams.add(stream)
                head = channel.head
                if self._poller is None:
                    self._poller = threading.Thread(target=self._run, name=THREAD, daemon=True)
                    self._poller.start()
            else:
                stream.end()
            # The viewer may have listed events that the channel has yet to pass on.
            stream.begin(min(after, max(head, job.event_seq)), head)
            return stream

    def heads(self) -> dict[str, int]:
        """Return the jobs that are watched, and the number of the last event of each that was passed on."""
        with self._lock:
            return {job: channel.head for job, channel in self._channels.items()}

    def stop_when(self, should_stop: Callable[[], bool]) -> None:
        """End all streams soon after ``should_stop`` returns True."""
        self._should_stop = lambda: self._stop.is_set() or should_stop()

    def close(self) -> None:
        """End all streams, and the poller."""
        self._stop.set()
        poller = self._poller
        if poller is not None:
            poller.join()

    def leave(self, stream: Stream) -> None:
        """Forget ``stream``; called by the stream itself, once."""
        with self._lock:
            self._open -= 1
            self._remove(stream)

    def read(self, job: str, after: int, until: int) -> tuple[str, int]:
        """Return the next stored events after ``after``, as SSE, and the number of the last one."""
        with self._database.read() as session:
            rows = queries.events_between(session, job, after, until, limit=PAGE)
            return self._write(rows), rows[-1].seq if rows else until

    def _run(self) -> None:
        try:
            while self.look():
                self._stop.wait(POLL_S)
        finally:
            with self._lock:
                # Without channels it has stepped back already, and another may have begun.
                if self._poller is threading.current_thread():
                    self._end_all()

    def _end_all(self) -> None:
        self._poller = None
        for channel in self._channels.values():
            for stream in channel.streams:
                stream.end()
        self._channels.clear()

    def look(self) -> bool:
        """Pass on what is new; return whether to look again. The poller does it all the time."""
        with self._lock:
            if not self._channels:
                self._poller = None
                return False
        if self._should_stop():
            return False
        seen = self.heads()
        try:
            with self._database.read() as session:
                found = queries.news(session, seen)
                for job, rows in itertools.groupby(found, key=lambda row: row.job):
                    self._pass_on(job, list(rows))
        except AWAY as error:
            logger.warning("live events wait for the database: %s", error)
            self._stop.wait(AWAY_S)
        return True

    def _pass_on(self, job: str, rows: Sequence[JobEvent]) -> None:
        with self._lock:
            channel = self._channels.get(job)
            if channel is None:
                return
            # The channel may have been made anew since the query began, by a viewer that knows more.
            rows = [row for row in rows if row.seq > channel.head]
            if not rows:
                return
            channel.head = rows[-1].seq
            text = self._write(rows)
            final = rows[-1].type == "state" and rows[-1].data["state"] in FINAL
            for stream in list(channel.streams):
                if rows[0].seq <= stream.after:
                    keeps_up = stream.put(self._write([row for row in rows if row.seq > stream.after]))
                else:
                    keeps_up = stream.put(text)
                if final:
                    stream.end()
                if final or not keeps_up:
                    self._remove(stream)

    def _remove(self, stream: Stream) -> None:
        channel = self._channels.get(stream.job)
        if channel is not None:
            channel.streams.discard(stream)
            if not channel.streams:
                del self._channels[stream.job]

    def _write(self, rows: Sequence[JobEvent]) -> str:
        return "".join(f"id: {row.seq}\nevent: {row.type}\ndata: {self._frame(row)}\n\n" for row in rows)


class _Channel:
    def __init__(self, head: int) -> None:
        self.head = head
        self.streams: set[Stream] = set()


class Stream:
    """The body of one answer: an iterator of bytes, to be closed. Made by `Feed.open`."""

    def __init__(self, feed: Feed, job: str, check: Callable[[], object]) -> None:
        self.job = job
        self.after = 0
        self._feed = feed
        self._check = check
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._let_go = False
        self._closed = False
        self._pieces: Iterator[str] = iter(())

    def begin(self, after: int, until: int) -> None:
        """Start with the stored events from the last one seen, ``after``, to ``until``."""
        self.after = after
        self._pieces = self._all(after, until)

    def put(self, text: str) -> bool:
        """Give the viewer events; return False if it is too slow, and let go."""
        if self._waiting.qsize() >= MOST_WAITING:
            self._let_go = True
        else:
            self._waiting.put(text)
        return not self._let_go

    def end(self) -> None:
        """End the stream after what was put."""
        self._waiting.put(None)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces).encode()

    def close(self) -> None:
        """Leave the feed; closing twice is no error."""
        if not self._closed:
            self._closed = True
            self._feed.leave(self)

    def _all(self, after: int, until: int) -> Iterator[str]:
        yield f"retry: {RETRY_MS}\n\n"
        while after < until:
            text, after = self._feed.read(self.job, after, until)
            if text:
                yield text
        checked = time.monotonic()
        while not self._let_go:
            try:
                text_or_end = self._waiting.get(timeout=HEARTBEAT_S)
            except queue.Empty:
                text_or_end = ": still here\n\n"
            if text_or_end is None:
                return
            if time.monotonic() - checked > RECHECK_S:
                try:
                    self._check()
                except HeadraceError:
                    return
                checked = time.monotonic()
            yield text_or_end
