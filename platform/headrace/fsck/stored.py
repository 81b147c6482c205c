"""What is in the artifact store, beside what rows need."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby, islice

from sqlalchemy import func, select

from headrace.artifacts import service as artifacts
from headrace.artifacts.protocol import Store
from headrace.artifacts.store import read_verified
from headrace.artifacts.tables import Artifact, Unneeded
from headrace.db import Database, clock
from headrace.errors import ArtifactCorrupt, ArtifactMissing, StorageFailed
from headrace.fsck.finding import Finding, Progress

_PAGE = 500
_AWAY = 20
_LONG_AGO = timedelta(hours=1)
_ADVICE = {
    "source": "upload the same file again, or restore the artifact store from a backup",
    "data": "delete the dataset version and upload its file again, or restore from a backup",
    "profile": "delete the dataset version and upload its file again, or restore from a backup",
    "rows": "delete the dataset version and upload its file again, or restore from a backup",
    "package": "restore the artifact store from a backup, or train the version again",
    "evaluation": "restore the artifact store from a backup, or evaluate again",
    "output": "submit the job again",
    "explanation": "submit the job again",
    "checkpoint": "nothing: the job begins from an older one, or from the start",
    "checkpoint-before": "nothing: the newer one is used",
}
_OTHERWISE = "restore the artifact store from a backup"


def needed(db: Database, store: Store, *, sizes_only: bool, progress: Progress) -> Iterator[Finding]:
    """Check all bytes that some row needs. Raises `StorageFailed` where file after file cannot be read."""
    total = _total(db)
    after, done, unreadable = "", 0, 0
    while True:
        with db.read() as session:
            query = select(Artifact).where(Artifact.digest > after)
            rows = session.scalars(query.order_by(Artifact.digest, Artifact.owner).limit(_PAGE)).all()
        if not rows:
            return
        if len(rows) == _PAGE and rows[0].digest != rows[-1].digest:  # the last may go on behind the page
            rows = [row for row in rows if row.digest != rows[-1].digest]
        for digest, group in groupby(rows, lambda row: row.digest):
            users = list(group)
            problem = _problem(store, digest, {row.size_bytes for row in users}, sizes_only=sizes_only)
            unreadable = unreadable + 1 if problem and problem[0] == "unreadable" else 0
            if unreadable == _AWAY:
                raise StorageFailed(f"{_AWAY} files in a row cannot be read; the last: {digest}")
            if problem and _is_still_needed(db, digest):
                yield _finding(problem, users)
            done += users[0].size_bytes
            progress(min(done, total), total)
        after = rows[-1].digest


def unneeded(db: Database, store: Store) -> Iterator[Finding]:
    """Count the bytes that nothing needs."""
    count = size = 0
    digests = store.digests()
    while page := list(islice(digests, _PAGE)):
        with db.read() as session:
            free = sorted(set(page) - artifacts.needed(session, page))
        for digest in free:
            try:
                size += store.size(digest)
            except ArtifactMissing:  # collected just now
                continue
            count += 1
    if count:
        message = f"{count} files of {size} bytes are needed by nothing"
        yield Finding("warning", "unneeded", "artifact store", message, "headrace gc removes them")
    with db.read() as session:
        since = clock(session) - _LONG_AGO
        stuck = session.scalars(select(Unneeded).where(Unneeded.deleting_at < since).limit(10)).all()
    for row in stuck:
        message = "its removal was announced over an hour ago and has not ended"
        yield Finding(
            "warning", "unneeded", row.digest, message, "see that a scheduler runs: headrace doctor"
        )


def half_written(store: Store, idle: timedelta) -> Iterator[Finding]:
    """Count what dead writers left."""
    left = list(store.leftovers(idle))
    if left:
        message = f"{len(left)} files were left half-written by processes that died"
        yield Finding("warning", "half-written", "artifact store", message, "headrace gc removes them")


def _total(db: Database) -> int:
    with db.read() as session:
        each = select(Artifact.digest, func.max(Artifact.size_bytes).label("size")).group_by(Artifact.digest)
        return int(session.scalar(select(func.sum(each.subquery().c.size))) or 0)


def _problem(store: Store, digest: str, sizes: set[int], *, sizes_only: bool) -> tuple[str, str] | None:
    """Return the check that fails and what it says."""
    try:
        size = store.size(digest)
        if sizes != {size}:
            return "size", f"has {size} bytes; its rows say {', '.join(map(str, sorted(sizes)))}"
        if not sizes_only:
            for _ in read_verified(store, digest):
                pass
    except ArtifactMissing:
        return "missing", "is not in the artifact store"
    except ArtifactCorrupt as error:
        return "corrupt", error.detail.removeprefix(digest).strip()
    except StorageFailed as error:
        return "unreadable", error.detail
    return None


def _is_still_needed(db: Database, digest: str) -> bool:
    with db.read() as session:
        return digest in artifacts.needed(session, [digest])


def _finding(problem: tuple[str, str], users: list[Artifact]) -> Finding:
    check, message = problem
    names = ", ".join(f"{row.name} of {row.owner}" for row in users[:5])
    more = f" and {len(users) - 5} more" if len(users) > 5 else ""
    advice = "; ".join(dict.fromkeys(_ADVICE.get(row.name, _OTHERWISE) for row in users[:5]))
    return Finding("error", check, users[0].digest, f"{message} (needed as {names}{more})", advice)
