"""Bugs to be planted, one at a time, each with what shows it: the product has no switch for any of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from chaos import invariants
from chaos.ledger import CANCELLED, TAG, Entry
from chaos.power import Disk
from domain import BACKOFF, LEARNED, LEASE_S, Domain, overlap
from headrace import scheduler
from headrace.artifacts import local
from headrace.artifacts.local import LocalStore
from headrace.artifacts.protocol import Stored
from headrace.config import Settings
from headrace.errors import LeaseLost
from headrace.jobs import checkpoints, claims, kinds, leases, transitions
from headrace.jobs.events import Event
from headrace.jobs.leases import Lease
from headrace.jobs.tables import Job
from headrace.specs.task import Done
from headrace_workers import supervisor
from headrace_workers.job_pipes import Exited
from headrace_workers.job_process import ForkServer
from headrace_workers.scratch import Scratch

LOST = timedelta(seconds=LEASE_S + 1)
AFTER_BACKOFF = timedelta(seconds=BACKOFF.max_s)
HOST_IS_AHEAD = timedelta(hours=1)
ENTRIES = "chaos.planted_entries"


@dataclass
class World:
    """Where a scenario is played. ``stack`` is closed after the invariants have been looked at."""

    domain: Domain
    store: LocalStore
    folder: Path
    stack: ExitStack
    ledger: list[Entry] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    settled: bool = True
    preload: str = f"{ENTRIES}:nothing"
    _put: list[Stored] = field(default_factory=list)

    def violations(self) -> set[str]:
        """Return the invariants that do not hold; the files of `Domain`, which are but names, count not."""
        url = self.domain.db.url.render_as_string(hide_password=False)
        found = invariants.check(url, self.store, ledger=self.ledger, marks=self.marks, settled=self.settled)
        return {v.invariant for v in found if v.invariant != "I5" or self._is_real(v.text)}

    def _is_real(self, text: str) -> bool:
        return any(file.digest in text for file in self._put)

    def put(self, content: str) -> Stored:
        with self.store.stage() as stage:
            stage.write(content.encode())
            self._put.append(stage.commit())
        return self._put[-1]

    def again(self) -> Lease:
        """Let the scheduler find that the worker is lost, the backoff pass, and a rival claim."""
        self.domain.now += LOST
        self.domain.tick()
        self.domain.now += AFTER_BACKOFF
        lease = self.domain.claim("rival")
        assert lease is not None
        return lease

    def work(self, most: int = 20) -> None:
        """Run jobs until there is none that can be claimed."""
        for _ in range(most):
            self.domain.tick()
            self.domain.now += AFTER_BACKOFF
            lease = self.domain.claim("rival")
            if lease is None:
                return
            self.domain.commit(lease)

    def tell(self, lease: Lease, step: int) -> None:
        """Write a point of a learning curve, as the attempt that has ``lease``, if it may."""
        point = Event("metric", {"name": "loss", "step": step, "value": 0.5})
        with suppress(LeaseLost):
            self.domain.do(leases.renew, lease, now=self.domain.now, lease_s=LEASE_S, happened=[point])

    def keep(self, lease: Lease, content: str) -> None:
        """Keep a checkpoint, as the attempt that has ``lease``, if it may."""
        with suppress(LeaseLost):
            self.domain.do(checkpoints.keep, lease, self.put(content), self.domain.now)


Plant = Callable[[pytest.MonkeyPatch, World], None]


@dataclass(frozen=True, kw_only=True)
class Bug:
    """``plant`` puts it in, ``play`` is what shows it, ``violates`` the invariant that then does not hold."""

    plant: Plant
    play: Callable[[World], None]
    violates: str
    database: str = "sqlite"


def _unfenced(session: Session, lease: Lease) -> Job:
    return session.get_one(Job, lease.job, with_for_update=True)


def no_fence(patch: pytest.MonkeyPatch, world: World) -> None:
    for module in (leases, transitions, checkpoints):
        patch.setattr(module, "hold", _unfenced)


def a_zombie_writes_beside_its_rival(world: World) -> None:
    zombie = world.domain.running()
    rival = world.again()
    for lease in (zombie, rival):
        world.tell(lease, step=1)
    world.domain.commit(rival)


def no_unique_effect(patch: pytest.MonkeyPatch, world: World) -> None:
    """Effects are committed before the final state, and no key keeps a job from having two."""
    with world.domain.db.transaction() as session:
        session.execute(text("ALTER TABLE model_versions DROP CONSTRAINT uq_model_versions_job"))
    train: Any = kinds.kind("train")
    commit = train.commit

    def apart(session: Session, *args: Any) -> Any:
        result = commit(session, *args)
        session.flush()
        driver: Any = session.connection().connection.dbapi_connection
        driver.commit()
        return result

    patch.setattr(train, "commit", apart)


class Killed(Exception):
    """The worker dies here."""


def killed_between_the_effects_and_the_final_state(world: World) -> None:
    lease = world.domain.running()
    files = {name: world.put(name) for name in ("package", "evaluation")}
    with suppress(Killed), world.domain.db.transaction() as session:
        job, done = leases.hold(session, lease), Done(result=LEARNED, outputs={})
        kinds.kind("train").commit(session, job, done, files, world.domain.now)
        raise Killed
    world.domain.commit(world.again(), files=files)


def no_fsync(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(local, "os", SimpleNamespace(**{**vars(os), "fsync": lambda fd: None}))


def the_power_goes_after_a_commit(world: World) -> None:
    lease = world.domain.running()
    disk = Disk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", disk.fsync)
        files = {name: world.put(name) for name in ("package", "evaluation")}
    world.domain.commit(lease, files=files)
    disk.cut(world.store.root)


def no_reconciler(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(scheduler, "_each", lambda *args, **options: False)


def a_worker_dies_and_a_dependent_waits(world: World) -> None:
    lease = world.domain.running()
    world.domain.submit(depends_on=[lease.job])
    world.domain.now += LOST
    world.work()


def lease_by_the_workers_clock(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(supervisor, "clock", lambda session: datetime.now(UTC) + HOST_IS_AHEAD)


def a_worker_whose_clock_is_ahead_dies(world: World) -> None:
    world.domain.now = datetime.now(UTC)
    world.domain.submit()
    settings = Settings.load({}, data=world.folder, lease_s=LEASE_S)
    site: Any = SimpleNamespace(db=world.domain.db)
    assert supervisor.Supervisor(settings)._claim(site, "heavy") is not None
    world.domain.now = datetime.now(UTC) + LOST
    world.work()


def failures_not_counted(patch: pytest.MonkeyPatch, world: World) -> None:
    failed = transitions._failed

    def uncounted(session: Session, job: Job, *args: Any) -> None:
        failed(session, job, *args)
        job.failures = 0

    patch.setattr(transitions, "_failed", uncounted)


def a_job_kills_its_worker_each_time(world: World) -> None:
    job = world.domain.running(max_attempts=3).job
    other = world.domain.submit(priority=0)
    for _ in range(2):
        assert world.again().job == job
    world.domain.now += LOST
    world.domain.tick()
    world.domain.now += AFTER_BACKOFF
    lease = world.domain.claim()
    if lease is not None and lease.job == other:
        world.domain.commit(lease)


def checkpoint_not_fenced(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(checkpoints, "hold", _unfenced)


def a_zombie_keeps_a_checkpoint(world: World) -> None:
    zombie = world.domain.running()
    world.keep(zombie, "one")
    rival = world.again()
    world.keep(rival, "two")
    world.domain.commit(rival)
    world.keep(zombie, "stale")


def cancel_forgotten_on_restart(patch: pytest.MonkeyPatch, world: World) -> None:
    lose = transitions.lose

    def forgetful(session: Session, job: Job, **options: Any) -> None:
        job.cancel_requested = False
        lose(session, job, **options)

    patch.setattr(transitions, "lose", forgetful)


def a_worker_dies_that_was_to_cancel(world: World) -> None:
    lease = world.domain.running(tags={TAG: "k"})
    world.domain.cancel(lease.job)
    world.ledger = [Entry(key="k", answers=[lease.job], ends=frozenset({CANCELLED}), cancelled=True)]
    world.domain.now += LOST
    world.work()


def quota_without_its_lock(patch: pytest.MonkeyPatch, world: World) -> None:
    patch.setattr(claims, "is_postgresql", lambda session: False)


def two_claim_at_once(world: World) -> None:
    domain = world.domain
    domain.project("default", max_running=1)
    for queue in ("default", "gpu"):
        domain.submit(queue=queue)

    def claim(session: Session) -> object:
        return claims.claim(
            session, worker="w", queues=["default"], lane="heavy", now=domain.now, lease_s=LEASE_S
        )

    overlap(domain, claim, lambda: domain.claim(queues=("gpu",)))
    world.settled = False


def group_not_killed(patch: pytest.MonkeyPatch, world: World) -> None:
    world.preload = f"{ENTRIES}:spare_the_group"


def a_job_leaves_a_process_behind(world: World) -> None:
    scratch = world.stack.enter_context(Scratch(world.folder / "scratch"))
    found_by = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    server = world.stack.enter_context(ForkServer(world.preload, scratch, environment=found_by))
    assert server.ready(30)
    folder = scratch.new("job")
    with server.spawn(folder, entry=f"{ENTRIES}:leave_a_process") as process:
        while not any(isinstance(event, Exited) for event in process.read(1.0)):
            pass
    # Now its outputs would be hashed and committed.
    world.marks = [str(folder)]


BUGS = {
    "no fence": Bug(plant=no_fence, play=a_zombie_writes_beside_its_rival, violates="I4"),
    "no unique effect": Bug(
        plant=no_unique_effect,
        play=killed_between_the_effects_and_the_final_state,
        violates="I3",
        database="postgresql",
    ),
    "no fsync before the row": Bug(plant=no_fsync, play=the_power_goes_after_a_commit, violates="I5"),
    "no reconciler": Bug(plant=no_reconciler, play=a_worker_dies_and_a_dependent_waits, violates="I2"),
    "lease by the worker's clock": Bug(
        plant=lease_by_the_workers_clock, play=a_worker_whose_clock_is_ahead_dies, violates="I2"
    ),
    "failures not counted": Bug(
        plant=failures_not_counted, play=a_job_kills_its_worker_each_time, violates="I9"
    ),
    "checkpoint not fenced": Bug(
        plant=checkpoint_not_fenced, play=a_zombie_keeps_a_checkpoint, violates="I4"
    ),
    "cancel forgotten on restart": Bug(
        plant=cancel_forgotten_on_restart, play=a_worker_dies_that_was_to_cancel, violates="I7"
    ),
    "quota read without its lock": Bug(
        plant=quota_without_its_lock, play=two_claim_at_once, violates="quota", database="postgresql"
    ),
    "group not killed before commit": Bug(
        plant=group_not_killed, play=a_job_leaves_a_process_behind, violates="I6"
    ),
}
