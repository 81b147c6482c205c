"""Commands about what a team shares: projects, keys, workers, queues, and who did what."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from headrace.cli.options import connect, data_option, json_option, server_options
from headrace.config import Settings

_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


class Limit(click.ParamType[int]):
    """A number, or ``none`` for no limit, which is -1 here."""

    name = "number|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; a wrong one is a usage error."""
        if value == "none":
            return -1
        if not re.fullmatch(r"[0-9]{1,18}", str(value)):
            self.fail(f"{value!r} should be a whole number, or none", param, ctx)
        return int(value)


@click.group(invoke_without_command=True)
@server_options
@click.pass_context
def projects(ctx: click.Context, /, as_json: bool, **server: Any) -> None:
    """List projects with what they use and may use, or change that."""
    if ctx.invoked_subcommand is not None:
        return
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.projects())
    if as_json:
        output.print_json(found)
        return
    rows = [
        (
            project["name"],
            _of(project["usage"]["running"], project["max_running"]),
            _of(project["usage"]["queued"], project["max_queued"]),
            _of(
                output.size(project["usage"]["stored_bytes"]),
                None if project["max_stored_bytes"] is None else output.size(project["max_stored_bytes"]),
            ),
            project["weight"],
            project["max_priority"],
        )
        for project in found
    ]
    columns = ["name", "running", "queued", "stored", "weight", "max priority"]
    output.print_table(columns, rows, empty="no projects")


@projects.command("set")
@click.argument("name")
@click.option("--max-running", type=Limit(), help="Jobs that may run at once.")
@click.option("--max-queued", type=Limit(), help="Jobs that may wait.")
@click.option("--max-stored-bytes", type=Limit(), help="Bytes that may be stored.")
@click.option("--weight", type=float, help="Share of the workers, beside other projects.")
@click.option("--max-priority", type=click.IntRange(0, 9), help="Highest priority that a job may have.")
@server_options
def set_limits(
    name: str,
    max_running: int | None,
    max_queued: int | None,
    max_stored_bytes: int | None,
    weight: float | None,
    max_priority: int | None,
    as_json: bool,
    **server: Any,
) -> None:
    """Change what project NAME may use (admin keys only); what is not given stays as it is."""
    from headrace.cli import output

    limits = {"max_running": max_running, "max_queued": max_queued, "max_stored_bytes": max_stored_bytes}
    changes: dict[str, Any] = {
        field: None if value == -1 else value for field, value in limits.items() if value is not None
    }
    changes |= {
        field: value
        for field, value in (("weight", weight), ("max_priority", max_priority))
        if value is not None
    }
    if not changes:
        raise click.UsageError("nothing to change: give at least one of the options")
    with connect(**server) as client:
        project = client.update_project(name, **changes)
    if as_json:
        output.print_json(project)
    else:
        output.print_fields({field: value for field, value in project.items() if field != "usage"})


@click.command()
@server_options
def workers(as_json: bool, **server: Any) -> None:
    """List workers: which are there, what they serve, and what they do."""
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.workers())
    if as_json:
        output.print_json(found)
        return
    rows = [
        (
            w["name"],
            w["state"],
            ",".join(w["queues"]),
            w["slots"],
            w["job"],
            output.time_of(w["last_seen_at"]),
        )
        for w in found
    ]
    columns = ["name", "state", "queues", "slots", "job", "last seen"]
    output.print_table(columns, rows, empty="no workers")


@click.command()
@server_options
def queues(as_json: bool, **server: Any) -> None:
    """List queues: what waits in them, since when, and how many workers serve them."""
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.queues())
    if as_json:
        output.print_json(found)
        return
    rows = [(q["name"], q["queued"], q["running"], q["oldest_queued_s"], q["workers"]) for q in found]
    output.print_table(["name", "queued", "running", "oldest s", "workers"], rows, empty="no queues")


@click.group(invoke_without_command=True)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many."
)
@server_options
@click.pass_context
def audit(ctx: click.Context, /, limit: int, as_json: bool, **server: Any) -> None:
    """List who did what, newest first; or verify that nobody has changed that."""
    if ctx.invoked_subcommand is not None:
        return
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.audit(limit=limit))
    if as_json:
        output.print_json(found)
        return
    rows = [
        (output.time_of(a["at"]), a["project"], a["actor"], a["action"], a["object"], a["request_id"])
        for a in found
    ]
    columns = ["at", "project", "who", "did", "to", "request"]
    output.print_table(columns, rows, empty="nothing was done", flexible=["to", "request"])


@audit.command()
@click.option("--head", metavar="SEQ:DIGEST", help="A head printed earlier, which must be part of the chain.")
@data_option
@json_option
def verify(head: str | None, data: Path | None, as_json: bool) -> int:
    """Verify the audit log, by way of the database. Exits with 1 if entries were changed or are missing.

    Prints the head of the chain: keep it elsewhere, and give it next time, to be sure that nothing was cut
    off at the end.
    """
    from headrace.access import audit as log
    from headrace.cli import output
    from headrace.db import Database

    known = None
    if head is not None:
        match = _HEAD.fullmatch(head)
        if match is None:
            raise click.BadParameter("should be SEQ:DIGEST, as printed before", param_hint="--head")
        known = log.Head(int(match[1]), match[2])
    database = Database(Settings.load(data=data).database_url)
    with database.read() as session:
        found = log.verify(session, now=datetime.now(UTC), known=known)
    database.close()
    text = f"{found.head.seq}:{found.head.digest}"
    if as_json:
        answer = {"ok": found.fault is None, "head": text, "waiting": found.waiting, "fault": found.fault}
        output.print_json(answer)
    elif found.fault is not None:
        click.echo(f"wrong: {found.fault}\ngood up to {text}")
    else:
        click.echo(f"{found.head.seq} entries are as they were written, {found.waiting} not yet in the chain")
        click.echo(f"head {text}")
    return int(found.fault is not None)


def _of(used: object, limit: object) -> str:
    return str(used) if limit is None else f"{used} of {limit}"
