"""Collecting what nothing needs: all of it, only that, and whatever else happens meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from contract.artifacts.test_stores import digest_of, put
from domain import Domain, overlap
from headrace.artifacts import collector as module
from headrace.artifacts import service as artifacts
from headrace.artifacts.collector import Collector
from headrace.artifacts.protocol import Store, Stored
from headrace.artifacts.s3 import S3Store
from headrace.artifacts.store import LocalStore, read_verified
from headrace.artifacts.tables import Artifact, Unneeded
from headrace.errors import ArtifactMissing, Collected, LeaseLost
from headrace.jobs import checkpoints

HOUR = timedelta(hours=1)


def collect(domain: Domain, store: Store, after: timedelta = timedelta()) -> int:
    return Collector(store, after=after).collect(domain.db, domain.now)


def attach(domain: Domain, file: Stored, owner: str = "owner") -> None:
    domain.do(artifacts.attach, project="default", owner=owner, files={"f": file}, now=domain.now)


def there(store: Store, digest: str) -> bool:
    try:
        store.size(digest)
    except ArtifactMissing:
        return False
    return True


def noted(domain: Domain) -> int:
    with domain.db.read() as session:
        return session.scalar(select(func.count()).select_from(Unneeded)) or 0


def test_what_nothing_has_needed_for_a_while_is_removed_and_only_that(domain: Domain, store: Store) -> None:
    needed, rubbish = put(store, b"needed"), put(store, b"rubbish")
    attach(domain, needed)
    assert collect(domain, store, HOUR) == 0
    domain.now += HOUR - timedelta(seconds=1)
    assert collect(domain, store, HOUR) == 0
    assert there(store, rubbish.digest)
    domain.now += timedelta(seconds=1)
    assert collect(domain, store, HOUR) == 1
    assert list(store.digests()) == [needed.digest]
    domain.do(artifacts.detach, "owner")
    assert collect(domain, store, HOUR) == 0, "the time counts from when it became rubbish"
    domain.now += HOUR
    assert collect(domain, store, HOUR) == 1
    assert list(store.digests()) == []
    assert noted(domain) == 0


def test_rubbish_that_is_needed_again_stays(domain: Domain, store: Store) -> None:
    stored = put(store, b"x")
    collect(domain, store, HOUR)
    attach(domain, stored)
    assert noted(domain) == 0
    domain.now += HOUR
    assert collect(domain, store, HOUR) == 0
    assert there(store, stored.digest)


def test_rows_of_code_that_knows_nothing_of_collecting_count_too(domain: Domain, store: Store) -> None:
    """While a new scheduler runs beside workers of the release before."""
    stored = put(store, b"x")
    collect(domain, store, HOUR)
    with domain.db.transaction() as session:
        row = {"owner": "old", "name": "f", "project": "default", "created_at": domain.now}
        session.add(Artifact(**row, digest=stored.digest, size_bytes=1))
    domain.now += HOUR
    assert collect(domain, store, HOUR) == 0
    assert there(store, stored.digest)
    assert noted(domain) == 0


def test_many_pages_are_walked_in_steps(
    domain: Domain, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    kept = {put(store, b"%d" % number) for number in range(4)}
    for number, stored in enumerate(kept):
        attach(domain, stored, owner=f"o{number}")
    for number in range(10, 17):
        put(store, b"%d" % number)
    collector = Collector(store, after=timedelta())
    left = [len(list(store.digests()))]
    for _ in range(8):
        collector.step(domain.db, domain.now)
        left.append(len(list(store.digests())))
        assert left[-2] - left[-1] <= 3
    assert {Stored(digest, store.size(digest)) for digest in store.digests()} == kept


def test_what_dead_writers_left_is_removed(domain: Domain, store: Store) -> None:
    if isinstance(store, S3Store):
        store.call("create_multipart_upload", Key=store.key(digest_of(b"x")))
    else:
        assert isinstance(store, LocalStore)
        (store.staging / "dead").write_bytes(b"x")
    with store.stage() as alive:
        alive.write(b"x")
        collect(domain, store, timedelta(-1))
        assert list(store.leftovers(timedelta(-1))) == []
        assert there(store, alive.commit().digest)


def test_a_checkpoint_that_a_stale_attempt_writes_is_refused_and_leaves_no_bytes(
    domain: Domain, store: Store
) -> None:
    artifacts.guard(domain.db, store)
    lease = domain.running()
    with domain.db.transaction() as session:
        checkpoints.keep(session, lease, put(store, b"first"), domain.now)
    domain.tick(after_s=60)
    late = put(store, b"of a zombie")
    with pytest.raises(LeaseLost):
        domain.do(checkpoints.keep, lease, late, domain.now)
    collect(domain, store)
    assert list(store.digests()) == [digest_of(b"first")]


@contextmanager
def at_delete(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, before: bool, act: Callable[[], None]
) -> Iterator[None]:
    """Run ``act`` once, just before or after the collector deletes something."""
    delete = store.delete
    pending = [act]

    def watched(digest: str) -> None:
        if before and pending:
            pending.pop()()
        delete(digest)
        if not before and pending:
            pending.pop()()

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", watched)
        yield
    assert not pending, "nothing was deleted"


@pytest.mark.parametrize("before", [True, False])
def test_who_stores_the_same_bytes_while_they_are_deleted_is_told_to_do_it_again(
    domain: Domain, store: Store, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    put(store, b"x")

    def rival() -> None:
        with pytest.raises(Collected, match="just being removed"):
            attach(domain, put(store, b"x"))
        assert Collector(store, after=timedelta()).collect(domain.db, domain.now) == 0, "another deletes it"

    with at_delete(store, monkeypatch, before=before, act=rival):
        collect(domain, store)
    if before:
        with pytest.raises(Collected, match="not in the artifact store"):
            attach(domain, Stored(digest_of(b"x"), 1))
    attach(domain, put(store, b"x"))
    collect(domain, store)
    assert there(store, digest_of(b"x"))


def test_bytes_deleted_between_storing_and_attaching_are_not_attached(domain: Domain, store: Store) -> None:
    stored = put(store, b"x")
    assert collect(domain, store) == 1
    with pytest.raises(Collected):
        attach(domain, stored)
    with domain.db.read() as session:
        assert artifacts.attached(session, "owner") == {}


def test_while_bytes_are_being_attached_their_deletion_is_not_announced(domain: Domain, store: Store) -> None:
    stored = put(store, b"x")
    collect(domain, store, HOUR)
    domain.now += HOUR

    def attaching(session: object) -> None:
        artifacts.attach(session, project="default", owner="o", files={"f": stored}, now=domain.now)  # type: ignore[arg-type]

    overlap(domain, attaching, lambda: collect(domain, store, HOUR))
    assert there(store, stored.digest)
    assert collect(domain, store) == 0


def test_while_a_deletion_is_announced_the_bytes_are_not_attached(domain: Domain, store: Store) -> None:
    stored = put(store, b"x")
    collect(domain, store, HOUR)

    def announcing(session: object) -> None:
        announced = module._announce(session, "d", domain.now, timedelta(), timedelta())  # type: ignore[arg-type]
        assert announced == [stored.digest]

    refused = overlap(domain, announcing, lambda: attach(domain, stored))
    assert isinstance(refused, Collected)


def test_what_a_dead_collector_announced_another_finishes(
    domain: Domain, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = put(store, b"x")

    def die(digest: str) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", die)
        with pytest.raises(ZeroDivisionError):
            collect(domain, store)
    with pytest.raises(Collected):
        attach(domain, put(store, b"x"))
    if isinstance(store, S3Store):  # there it may be alive: nobody can know before long
        assert collect(domain, store) == 0
        domain.now += timedelta(minutes=10)
    assert collect(domain, store) == 1
    assert not there(store, stored.digest)
    attach(domain, put(store, b"x"))


def test_a_collector_that_was_stopped_for_long_deletes_nothing_more(
    domain: Domain, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put(store, b"%d" % number)
    collector = Collector(store, after=timedelta())
    collector._look(domain.db, domain.now)
    passed = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: passed[0])

    def stop() -> None:
        passed[0] += 61

    with at_delete(store, monkeypatch, before=False, act=stop):
        assert collector._delete(domain.db, domain.now) == 1
    assert len(list(store.digests())) == 2


def test_an_announcement_that_was_taken_over_is_not_the_first_ones_to_withdraw(
    domain: Domain, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, b"x")

    def taken_over() -> None:
        with domain.db.transaction() as session:
            session.execute(update(Unneeded).values(deleter="another"))

    collector = Collector(store, after=timedelta())
    collector._look(domain.db, domain.now)
    with at_delete(store, monkeypatch, before=False, act=taken_over):
        collector._delete(domain.db, domain.now)
    with pytest.raises(Collected, match="just being removed"):
        attach(domain, put(store, b"x"))


def test_rows_never_are_without_bytes_while_all_at_once_store_and_collect(
    domain: Domain, store: Store
) -> None:
    end = time.monotonic() + 60
    faults: list[str] = []
    counts = {"kept": 0, "again": 0, "collected": 0}
    contents = [b"%d" % number for number in range(4)]

    def enough() -> bool:
        return time.monotonic() > end or bool(faults) or min(counts["kept"], counts["collected"]) >= 5

    def write(number: int) -> None:
        draw = random.Random(number)
        while not enough():
            owner = f"w{number}"
            put(store, b"rubbish %d" % draw.randrange(10))
            stored = put(store, draw.choice(contents))
            try:
                domain.do(
                    artifacts.attach, project="default", owner=owner, files={"f": stored}, now=domain.now
                )
            except Collected:
                counts["again"] += 1
                continue
            counts["kept"] += 1
            if b"".join(read_verified(store, stored.digest)) not in contents:
                faults.append(stored.digest)
            domain.do(artifacts.detach, owner)

    def sweep() -> None:
        while not enough():
            counts["collected"] += Collector(store, after=timedelta()).collect(domain.db)

    def run(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            faults.append(repr(error))

    calls: list[Callable[[], None]] = [lambda n=n: write(n) for n in range(3)]  # type: ignore[misc]
    threads = [threading.Thread(target=run, args=(call,)) for call in [*calls, sweep, sweep]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert min(counts["kept"], counts["collected"]) >= 5, counts
    with domain.db.read() as session:
        assert all(there(store, row.digest) for row in session.scalars(select(Artifact)) if row.name == "f")
    collect(domain, store)
    assert list(store.digests()) == []
    assert noted(domain) == 0
