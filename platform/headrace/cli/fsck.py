"""The commands ``headrace fsck`` and ``headrace gc``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.options import data_option, json_option
from headrace.config import Settings

if TYPE_CHECKING:
    from headrace.artifacts.protocol import Store
    from headrace.db import Database
    from headrace.fsck.finding import Progress

_STYLES = {"warning": "yellow", "error": "red"}


@click.command()
@click.option("--sizes-only", is_flag=True, help="Compare sizes; do not read every byte again.")
@data_option
@json_option
def fsck(data: Path | None, sizes_only: bool, as_json: bool) -> int:
    """Read every row and every stored byte again; say what is wrong and what to do.

    Changes nothing, and may run while everything else does. Exits with 1 if anything is lost or contradicts
    itself; warnings, such as bytes that nothing needs, do not count.
    """
    from headrace.cli import output
    from headrace.fsck import service

    settings = Settings.load(data=data)
    with _open(settings) as (database, store), _bar() as progress:
        idle = timedelta(seconds=settings.collect_after_s)
        found = list(service.check(database, store, idle=idle, sizes_only=sizes_only, progress=progress))
    counts = Counter(finding.severity for finding in found)
    if as_json:
        findings = [finding._asdict() for finding in found]
        output.print_json({"ok": not counts["error"], "findings": findings})
        return int(counts["error"] > 0)
    for finding in found:
        click.echo(click.style(f"{finding.severity:<8}", fg=_STYLES[finding.severity]), nl=False)
        click.echo(output.clean(f"{finding.check:<13}{finding.object}: {finding.message}"))
        click.echo(f"{'':<21}→ {output.clean(finding.advice)}")
    click.echo(f"{counts['error']} errors, {counts['warning']} warnings" if found else "all is well")
    return int(counts["error"] > 0)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what nothing needs, and remove nothing.")
@click.option("--now", is_flag=True, help="Do not wait for HEADRACE_COLLECT_AFTER_S to pass.")
@data_option
@json_option
def gc(data: Path | None, dry_run: bool, now: bool, as_json: bool) -> None:
    """Remove stored bytes that nothing needs, and what dead writers left. The scheduler does so by itself.

    Safe while everything runs. Bytes go once they have been unneeded for HEADRACE_COLLECT_AFTER_S seconds,
    counted from when a scheduler or this command first saw it.
    """
    from headrace.artifacts.collector import Collector
    from headrace.cli import output
    from headrace.fsck import stored

    settings = Settings.load(data=data)
    after = timedelta() if now else timedelta(seconds=settings.collect_after_s)
    with _open(settings) as (database, store):
        if dry_run:
            found = [*stored.unneeded(database, store), *stored.half_written(store, after)]
            lines = [finding.message for finding in found] or ["there is nothing to remove"]
            answer: dict[str, object] = {"removed": 0, "findings": [finding._asdict() for finding in found]}
        else:
            removed = Collector(store, after=after).collect(database)
            lines, answer = [f"removed {removed} files that nothing needed"], {"removed": removed}
    if as_json:
        output.print_json(answer)
    else:
        click.echo("\n".join(lines))


@contextmanager
def _open(settings: Settings) -> Iterator[tuple[Database, Store]]:
    from headrace.artifacts.store import open_store
    from headrace.db import Database

    database = Database(settings.database_url)
    try:
        yield database, open_store(settings.artifacts_url)
    finally:
        database.close()


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show how far the reading is, to people."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
