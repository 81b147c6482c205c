"""Which faults there are, how many of each a run has, and the lanes in which they come."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chaos import faults, harsher
from chaos.faults import Harm, NotNow, Site

SQLITE, POSTGRESQL = frozenset({"sqlite"}), frozenset({"postgresql"})
PATIENCE_S = 60.0
PACE_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """``full``: how often in a full run. ``lasting``: it takes seconds, so it has a lane apart.

    ``early``: not in the second half, since what it leaves behind takes a minute by design.
    """

    name: str
    act: Callable[[Site], Harm]
    full: int
    lasting: bool = False
    early: bool = False
    databases: frozenset[str] = SQLITE | POSTGRESQL


FAULTS = (
    Fault(name="kill web", act=faults.kill_web, full=60, early=True),
    Fault(name="kill scheduler", act=faults.kill_scheduler, full=60),
    Fault(name="kill supervisor", act=faults.kill_supervisor, full=60),
    Fault(name="kill fork server", act=faults.kill_fork_server, full=60),
    Fault(name="kill job process", act=faults.kill_job, full=60),
    Fault(name="zombie", act=faults.zombie, full=50, lasting=True),
    Fault(name="broker flushed", act=faults.flush, full=20),
    Fault(name="broker killed", act=faults.kill_broker, full=10),
    Fault(name="broker frozen", act=faults.freeze_broker, full=5, lasting=True),
    Fault(name="broker full", act=faults.fill_broker, full=5, lasting=True),
    Fault(name="duplicate tickets", act=faults.duplicate_tickets, full=20),
    Fault(name="garbage messages", act=faults.garbage, full=20),
    Fault(name="connection cut", act=harsher.cut_connection, full=100, databases=POSTGRESQL),
    Fault(name="PostgreSQL killed", act=harsher.kill_postgresql, full=10, databases=POSTGRESQL),
    Fault(name="database locked", act=harsher.lock_sqlite, full=20, databases=SQLITE),
    Fault(name="disk full", act=harsher.fill_disk, full=10, lasting=True),
    Fault(name="I/O errors", act=harsher.io_errors, full=20, lasting=True),
    Fault(name="clock jumps", act=harsher.jump_clock, full=5, lasting=True, early=True, databases=POSTGRESQL),
)


class Lane:
    """Some of a run's faults, one after another, in an order drawn by ``rng``."""

    def __init__(self, counts: Mapping[Fault, int], rng: random.Random) -> None:
        drawn = [fault for fault, count in counts.items() for _ in range(count)]
        self._faults = sorted(drawn, key=lambda fault: rng.random() * (0.5 if fault.early else 1.0))
        self.done = 0
        self.times: Counter[str] = Counter()
        self.harm: dict[str, Harm] = {}
        self.undone: Counter[str] = Counter()
        self.broken: Exception | None = None

    @property
    def share(self) -> float:
        """How much of it is over, 0 to 1."""
        return self.done / len(self._faults) if self._faults else 1.0

    def run(self, site: Site, jobs: int, stop: threading.Event) -> None:
        """Do every fault once, at the pace at which ``jobs`` jobs end. ``broken``: what we did wrong."""
        try:
            self._run(site, jobs, stop)
        except Exception as error:
            self.broken = error
            stop.set()

    def _run(self, site: Site, jobs: int, stop: threading.Event) -> None:
        for fault in self._faults:
            if stop.is_set():
                return
            self._keep_pace(site, jobs, stop)
            harm = self._do(fault, site, stop)
            if harm is None:
                self.undone[fault.name] += 1
            else:
                self.times[fault.name] += 1
                self.harm.setdefault(fault.name, Counter()).update(harm)
            self.done += 1

    def _keep_pace(self, site: Site, jobs: int, stop: threading.Event) -> None:
        deadline = time.monotonic() + PACE_S
        while site.watch.ended < self.share * jobs * 0.95 and time.monotonic() < deadline:
            if stop.wait(0.05):
                return

    @staticmethod
    def _do(fault: Fault, site: Site, stop: threading.Event) -> Harm | None:
        deadline = time.monotonic() + PATIENCE_S
        while not stop.is_set() and time.monotonic() < deadline:
            try:
                return fault.act(site)
            except NotNow:
                stop.wait(0.1)
        return None
