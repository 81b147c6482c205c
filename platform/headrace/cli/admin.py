"""Commands that work on the deployment itself, not over its API."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from headrace.cli.options import Duration, connect, data_option, json_option, server_options
from headrace.config import Settings


@click.command()
@data_option
@json_option
def config(data: Path | None, as_json: bool) -> None:
    """Show every setting, its variable, and where its value comes from. Secrets are not shown."""
    from headrace.cli import output

    described = Settings.load(data=data).describe()
    if as_json:
        output.print_json({d.name: d._asdict() for d in described})
        return
    sources = {"default": "default", "option": "option"}
    rows = [(d.variable, d.value, sources.get(d.source, "environment"), d.description) for d in described]
    output.print_table(
        ["variable", "value", "from", "meaning"], rows, empty="", flexible=["value", "meaning"]
    )


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show the version."""
    from headrace import __version__
    from headrace.cli import output

    if as_json:
        output.print_json({"version": __version__})
    else:
        click.echo(__version__)


@click.command()
@data_option
def scheduler(data: Path | None) -> None:
    """Run the scheduler until SIGTERM or Ctrl-C: requeue lost jobs, issue tickets, collect garbage.

    Any number may run at once.
    """
    import headrace.scheduler
    from headrace import logs, schema

    settings = Settings.load(data=data)
    logs.configure(settings, "scheduler")
    schema.require(settings.database_url)
    stop = threading.Event()
    stopping = {signal.SIGTERM, signal.SIGINT}

    # A handler would run in this thread, perhaps while it holds the event's own lock.
    def wait_for_signal() -> None:
        signal.sigwait(stopping)
        stop.set()

    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    threading.Thread(target=wait_for_signal, name="signals", daemon=True).start()
    headrace.scheduler.run(settings, stop)


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--project", required=True, help="Project of the key; made if need be.")
@click.option("--role", required=True, type=click.Choice(["viewer", "submitter", "maintainer", "admin"]))
@click.option("--name", default="", help="What the key is for.")
@click.option("--expires-in", type=Duration(), help="How long it is valid, such as 30d.  [default: for ever]")
@data_option
@json_option
def create(
    project: str, role: str, name: str, expires_in: timedelta | None, data: Path | None, as_json: bool
) -> None:
    """Make an API key, by way of the database, and print it. It is shown this once."""
    from headrace import origin
    from headrace.access import service as access
    from headrace.cli import output
    from headrace.db import Database

    now = datetime.now(UTC)
    database = Database(Settings.load(data=data).database_url)
    with origin.acting(origin.Origin(actor="(headrace keys)")), database.transaction() as session:
        row, key = access.create_key(
            session,
            project=project,
            role=role,
            name=name,
            now=now,
            expires_at=now + expires_in if expires_in else None,
        )
        made = {"id": row.id, "key": key, "project": row.project, "role": row.role, "name": row.name}
    database.close()
    if as_json:
        output.print_json(made)
    else:
        click.echo(key)


@keys.command("list")
@server_options
def list_keys(as_json: bool, **server: Any) -> None:
    """List the keys of the project, newest first; of each its prefix only."""
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.api_keys())
    if as_json:
        output.print_json(found)
        return
    rows = [
        (
            key["id"],
            key["prefix"],
            key["role"],
            key["name"],
            output.time_of(key["created_at"]),
            output.time_of(key["expires_at"]),
            output.time_of(key["revoked_at"]),
        )
        for key in found
    ]
    columns = ["id", "prefix", "role", "name", "created", "expires", "revoked"]
    output.print_table(columns, rows, empty="no keys", flexible=["name"])


@keys.command()
@click.argument("id")
@server_options
def revoke(id: str, as_json: bool, **server: Any) -> None:
    """Make the key ID worthless, from now on."""
    from headrace.cli import output

    with connect(**server) as client:
        client.revoke_key(id)
    if as_json:
        output.print_json({"id": id, "revoked": True})
    else:
        click.echo(f"{id} is revoked")
