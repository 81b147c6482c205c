"""Rows for `scale.py`, made by the database itself: finished jobs of one project with their events and tags,
beside a few jobs that are queued and run, and a long queue that nobody serves."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from headrace.access import service as access
from headrace.db import Database

PROJECT = "team-a"
PROJECTS = (PROJECT, "team-b", "team-c")
QUEUED = 200
UNSERVED = 1_000
SPEC = (
    '{"model": "digits", "dataset": "digits@1", "algorithm": "cnn", "target": "label", "features": null, '
    '"params": {"epochs": 5, "batch_size": 32, "learning_rate": 0.001, "optimizer": "adam", "dropout": 0.25, '
    '"l2": 0.0, "early_stopping": null}, "split": {"validation": 0.1, "test": 0.1, "by": "hash", "seed": 0}, '
    '"task": "classification", "seed": 0, "deterministic": true, "threads": 1, "types": {}, "base": null}'
)

_SQLITE = {
    "n": "(WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {last}) "
    "SELECT * FROM n)",
    "id": "printf('job_%016x0000000000', ({base} + i) * 1000000000)",
    "at": "strftime('%Y-%m-%d %H:%M:%f000', {base} + i, 'unixepoch')",
}
_POSTGRESQL = {
    "n": "(SELECT i FROM generate_series(0, {last}) AS i)",
    "id": "'job_' || lpad(to_hex(({base} + i)::bigint * 1000000000), 16, '0') || '0000000000'",
    "at": "to_timestamp({base} + i)",
}

_JOBS = """
INSERT INTO jobs (id, project, kind, name, state, priority, queue, lane, spec, tags, depends_on, model,
    dataset, attempt, failures, max_attempts, timeout_s, created_at, available_at, started_at, finished_at,
    cancel_requested, fraction, message, result, error, event_seq)
SELECT {id}, {project}, CASE i % 5 WHEN 1 THEN 'evaluate' ELSE 'train' END,
    CASE i % 5 WHEN 0 THEN 'needle ' ELSE 'nightly ' END || i, {state}, 5, {queue}, 'heavy', '{spec}',
    '{{}}', '[]', 'm' || (i / 5 % 5), 'd' || (i / 25 % 5), 1, 0, 3, 3600, {at}, {at}, {started_at},
    {finished_at}, {false}, 1.0, '', {result}, {error}, 3
FROM {n} AS n
"""
_EVENTS = """
INSERT INTO job_events (job, seq, attempt, type, at, data)
SELECT {id}, seq, 1, 'state', {at}, '{{"state": "succeeded", "attempt": 1}}'
FROM {n} AS n CROSS JOIN (SELECT 1 AS seq UNION ALL SELECT 2 UNION ALL SELECT 3) AS three
"""
_TAGS = """
INSERT INTO job_tags (job, key, project, value)
SELECT {id}, 'team', '{project}', CASE i % 5 WHEN 4 THEN 'vision' ELSE 'speech' END FROM {n} AS n
"""


def fill(database: Database, finished: int) -> None:
    """Fill ``database``: one finished job a second, until an hour ago, and then those that are queued."""
    now = int(time.time())
    with database.transaction() as session:
        for project in PROJECTS:
            access.ensure_project(session, project, datetime.now(UTC))
    with database.engine.begin() as connection:
        base = now - 3600 - finished
        ended = {
            "project": f"'{PROJECT}'",
            "state": "CASE i % 5 WHEN 2 THEN 'failed' ELSE 'succeeded' END",
            "queue": "CASE i % 5 WHEN 3 THEN 'gpu' ELSE 'default' END",
            "started_at": "{at}",
            "finished_at": "{at}",
            "result": "CASE i % 5 WHEN 2 THEN NULL ELSE '{{}}' END",
            "error": "CASE i % 5 WHEN 2 THEN '{{}}' ELSE NULL END",
        }
        _insert(connection, _JOBS, ended, last=finished - 1, base=base)
        _insert(connection, _EVENTS, {}, last=finished - 1, base=base)
        _insert(connection, _TAGS, {"project": PROJECT}, last=finished - 1, base=base)
        waiting = {"state": "'queued'", "started_at": "NULL", "finished_at": "NULL"}
        waiting |= {"result": "NULL", "error": "NULL"}
        unserved = waiting | {"project": f"'{PROJECT}'", "queue": "'unserved'"}
        _insert(connection, _JOBS, unserved, last=UNSERVED - 1, base=base - UNSERVED)
        served = waiting | {
            "project": "CASE i % 3 WHEN 0 THEN 'team-a' WHEN 1 THEN 'team-b' ELSE 'team-c' END",
            "queue": "CASE i % 2 WHEN 0 THEN 'gpu' ELSE 'default' END",
        }
        _insert(connection, _JOBS, served, last=QUEUED - 1, base=now - 3000)
    if connection.dialect.name == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _insert(connection: Connection, template: str, columns: dict[str, str], **numbers: int) -> None:
    sqlite = connection.dialect.name == "sqlite"
    words = {name: str(number) for name, number in numbers.items()}
    words |= {"spec": SPEC, "false": "0" if sqlite else "false"}
    words |= {name: sql.format(**words) for name, sql in (_SQLITE if sqlite else _POSTGRESQL).items()}
    columns = {name: sql.format(**words) for name, sql in columns.items()}
    if not sqlite:
        columns |= {name: f"({columns[name]})::json" for name in ("result", "error") if name in columns}
    # The driver's own cursor: to what is above it, the colons and per cents would be parameters.
    connection.connection.cursor().execute(template.format(**words, **columns))
