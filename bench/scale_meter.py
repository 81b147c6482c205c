"""What one call reads, for `scale.py`: statements, pages, and steps of plans that walk all jobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import event

from headrace.db import Database

BIG = ("jobs", "job_events", "job_tags")
_EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


class Metered(NamedTuple):
    """``walks`` are the steps of plans that read a whole table, or all of an index that is not partial."""

    statements: int
    pages: int
    walks: list[str]


def meter(database: Database, call: Callable[[Database], object]) -> Metered:
    """Do ``call`` once more and return what it took."""
    if database.engine.dialect.name == "sqlite":
        return _sqlite(database, call)
    return _postgresql(database, call)


def _sqlite(database: Database, call: Callable[[Database], object]) -> Metered:
    sent: list[tuple[str, Any]] = []
    walks: list[str] = []

    def record(_c: Any, _cursor: Any, sql: str, values: Any, _context: Any, _many: bool) -> None:
        sent.append((sql, values))

    # Held open, so that the log is not read again; what is in it already would be read from there.
    held = database.engine.raw_connection()
    held.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ((page_size,),) = held.cursor().execute("PRAGMA page_size").fetchall()
    fresh = Database(database.url.render_as_string())
    cold = fresh.engine.raw_connection()
    cold.cursor().execute("PRAGMA wal_autocheckpoint=0")
    cold.cursor().execute("SELECT count(*) FROM sqlite_master").fetchall()
    cold.close()
    event.listen(fresh.engine, "before_cursor_execute", record)
    before = _bytes_read()
    call(fresh)
    pages = (_bytes_read() - before) // page_size
    explainer = held.cursor()
    for sql, values in sent:
        for each in values if isinstance(values, list) else [values]:
            if sql.startswith(_EXPLAINED):
                plan = explainer.execute(f"EXPLAIN QUERY PLAN {sql}", each).fetchall()
                walks += [str(row[-1]) for row in plan if _sqlite_walks(str(row[-1]))]
    held.close()
    fresh.close()
    return Metered(sum(sql.startswith(_EXPLAINED) for sql, _ in sent), pages, walks)


def _sqlite_walks(step: str) -> bool:
    """A partial index holds only the few jobs that are live; the primary key alone bounds nothing."""
    whole = re.match(rf"SCAN ({'|'.join(BIG)})\b(?!.*INDEX ix_jobs_(claim|running|waiting|lease))", step)
    return bool(whole) or bool(re.match(r"SEARCH jobs USING .*sqlite_autoindex_jobs_1 \(id[<>]", step))


def _bytes_read() -> int:
    with open("/proc/thread-self/io") as file:
        return int(file.readline().split()[1])


def _postgresql(database: Database, call: Callable[[Database], object]) -> Metered:
    plans: list[Any] = []
    busy = False

    def explain(connection: Any, cursor: Any, sql: str, values: Any, _context: Any, many: bool) -> None:
        nonlocal busy
        if busy or not sql.startswith(_EXPLAINED):
            return
        busy = True
        own = cursor.connection.cursor()
        for each in values if many else [values]:
            own.execute("SAVEPOINT meter")
            own.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", each)
            plans.append(own.fetchone()[0][0]["Plan"])
            own.execute("ROLLBACK TO SAVEPOINT meter")
        busy = False

    event.listen(database.engine, "before_cursor_execute", explain)
    try:
        call(database)
    finally:
        event.remove(database.engine, "before_cursor_execute", explain)
    pages = sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)
    return Metered(len(plans), pages, [walk for plan in plans for walk in _postgresql_walks(plan)])


def _postgresql_walks(plan: dict[str, Any]) -> list[str]:
    index, condition = plan.get("Index Name", ""), plan.get("Index Cond", "")
    partial = index in (
        "ix_jobs_claim",
        "ix_jobs_running",
        "ix_jobs_waiting",
        "ix_jobs_lease",
        "ix_jobs_prune",
    )
    walks = []
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in BIG:
        walks.append(f"Seq Scan on {plan['Relation Name']}")
    unbounded = not condition or (index == "pk_jobs" and not re.search("[^<>]=", condition))
    if "Index" in plan["Node Type"] and index and not partial and unbounded:
        walks.append(f"{plan['Node Type']} of {index}: {condition or 'whole'}")
    for inner in plan.get("Plans", []):
        walks += _postgresql_walks(inner)
    return walks
