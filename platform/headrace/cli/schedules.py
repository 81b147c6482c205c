"""Commands about schedules."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

import click

from headrace.cli.options import connect, server_options

if TYPE_CHECKING:
    from headrace.client.types import Schedule


@click.command()
@server_options
def schedules(as_json: bool, **server: Any) -> None:
    """List schedules, newest first."""
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.schedules())
    if as_json:
        output.print_json(found)
        return
    rows = [
        (
            row["id"],
            _rule(row),
            output.time_of(row["next_due_at"]) or "paused",
            row["job"]["kind"],
            row["name"],
        )
        for row in found
    ]
    output.print_table(
        ["id", "rule", "next due", "kind", "name"], rows, empty="no schedules", flexible=["name"]
    )


@click.group()
def schedule() -> None:
    """Make, pause, trigger, delete a schedule; see its runs."""


@schedule.command()
@click.argument("file", metavar="FILE.json|-", type=click.File())
@click.option("--cron", metavar="EXPRESSION", help="When: minute, hour, day, month, weekday.")
@click.option("--timezone", help="Whose clock: Europe/Berlin.  [default: UTC]")
@click.option("--every-s", type=click.IntRange(min=1), help="When, instead: every so many seconds.")
@click.option("--name", help="What people call it.")
@click.option(
    "--catch-up", type=click.Choice(["none", "latest", "all"]), help="What to fire after an outage."
)
@click.option("--overlap", type=click.Choice(["skip", "queue"]), help="What to do while a job still runs.")
@click.option("--paused", is_flag=True, help="Do not let it fire yet.")
@click.option("--idempotency-key", help="The same key again gives the first answer again.")
@server_options
def create(file: IO[str], paused: bool, idempotency_key: str | None, as_json: bool, **more: Any) -> None:
    """Make a schedule: FILE.json holds all of it, or only the job that it is to submit.

    \b
    headrace schedule create examples/specs/train_digits.json --cron "0 3 * * *" --timezone Europe/Berlin

    Options change what the file says.
    """
    server = {name: more.pop(name) for name in ("url", "key", "data", "project")}
    try:
        body = json.load(file)
    except ValueError as error:
        raise click.ClickException(f"{file.name} is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise click.ClickException(
            f'{file.name} should hold an object such as {{"kind": "train", "spec": {{…}}}}'
        )
    if "job" not in body:
        body = {"job": body}
    if more["cron"] or more["every_s"]:
        body = {name: value for name, value in body.items() if name not in ("cron", "every_s")}
    body.update({name: value for name, value in more.items() if value is not None})
    if paused:
        body["enabled"] = False
    with connect(**server) as client:
        made = client.create_schedule(body, idempotency_key=idempotency_key)
    _show(made, as_json)


@schedule.command()
@click.argument("id")
@server_options
def show(id: str, as_json: bool, **server: Any) -> None:
    """Show one schedule."""
    with connect(**server) as client:
        _show(client.schedule(id), as_json)


@schedule.command()
@click.argument("id")
@server_options
def pause(id: str, as_json: bool, **server: Any) -> None:
    """Let a schedule rest. What it has still to catch up is missed."""
    with connect(**server) as client:
        _show(client.change_schedule(id, enabled=False), as_json)


@schedule.command()
@click.argument("id")
@server_options
def resume(id: str, as_json: bool, **server: Any) -> None:
    """Let a schedule go on, from now."""
    with connect(**server) as client:
        _show(client.change_schedule(id, enabled=True), as_json)


@schedule.command()
@click.argument("id")
@server_options
def trigger(id: str, as_json: bool, **server: Any) -> None:
    """Submit its job now, besides the due times."""
    from headrace.cli import output

    with connect(**server) as client:
        run = client.trigger_schedule(id)
    if as_json:
        output.print_json(run)
        return
    output.print_fields({"job": run["job"]})


@schedule.command(name="next")
@click.argument("id")
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True)
@server_options
def upcoming(id: str, count: int, as_json: bool, **server: Any) -> None:
    """Show when it is due next, in UTC."""
    from headrace.cli import output

    with connect(**server) as client:
        found = client.next_due(id, count)
    if as_json:
        output.print_json(found)
        return
    for due_at in found:
        click.echo(output.time_of(due_at))


@schedule.command()
@click.argument("id")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@server_options
def runs(id: str, limit: int, as_json: bool, **server: Any) -> None:
    """List what became of its due times, newest first."""
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.schedule_runs(id, limit=limit))
    if as_json:
        output.print_json(found)
        return
    rows = [(output.time_of(run["due_at"]), run["outcome"], run["job"] or run["reason"]) for run in found]
    output.print_table(["due", "outcome", "job or reason"], rows, empty="no runs", flexible=["job or reason"])


@schedule.command()
@click.argument("id")
@server_options
def delete(id: str, as_json: bool, **server: Any) -> None:
    """Delete a schedule and its runs. Its jobs stay."""
    from headrace.cli import output

    with connect(**server) as client:
        client.delete_schedule(id)
    if as_json:
        output.print_json({"id": id, "deleted": True})
        return
    click.echo(f"deleted {id}")


def _rule(row: Schedule) -> str:
    return f"every {row['every_s']} s" if row["cron"] is None else f"{row['cron']} ({row['timezone']})"


def _show(row: Schedule, as_json: bool) -> None:
    from headrace.cli import output

    if as_json:
        output.print_json(row)
        return
    output.print_fields(
        {
            "id": row["id"],
            "name": row["name"],
            "rule": _rule(row),
            "next due": output.time_of(row["next_due_at"]) or "paused",
            "catch up": row["catch_up"],
            "overlap": row["overlap"],
            "job": row["job"],
        }
    )
