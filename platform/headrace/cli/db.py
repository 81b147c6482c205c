"""``headrace db``: the schema of the database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from headrace.cli.options import Duration, data_option, json_option
from headrace.config import Settings, redact


@click.group()
def db() -> None:
    """Look at the database's schema, and bring it up to date."""


@db.command()
@click.option(
    "--wait",
    type=Duration(),
    help="How long to wait for processes that the new schema would break, such as 10m.",
)
@data_option
def upgrade(wait: timedelta | None, data: Path | None) -> None:
    """Bring the schema to what this version of Headrace needs, while older ones go on working on it.

    Where the new schema would break an older process that is connected, it says so and changes nothing.
    """
    from headrace import schema

    settings = Settings.load(data=data)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = schema.upgrade(settings.database_url, wait_s=wait.total_seconds() if wait else 0)
    newer = f", made by a newer version than this one ({done.known})" if done.state == "newer" else ""
    where = redact(settings.database_url)
    click.echo(f"{where} is up to date: revision {done.revision}{newer}", err=True)


@db.command()
@data_option
@json_option
def current(data: Path | None, as_json: bool) -> None:
    """Show the revision of the schema, and the newest that this version of Headrace knows."""
    from headrace import schema
    from headrace.cli import output

    found = schema.read(Settings.load(data=data).database_url)
    if as_json:
        output.print_json({**found._asdict(), "usable": not found.problem})
    else:
        click.echo(f"{found.revision or 'none'} (this version knows {found.known}: {found.state})")


@db.command()
@data_option
def check(data: Path | None) -> None:
    """Say whether this version of Headrace can work on the schema: exit status 0 if so, 1 if not."""
    from headrace import schema

    url = Settings.load(data=data).database_url
    schema.require(url)
    click.echo(f"{redact(url)} can be worked on", err=True)
