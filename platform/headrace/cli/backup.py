"""The commands ``headrace backup`` and ``headrace restore``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.options import data_option
from headrace.config import Settings, redact

if TYPE_CHECKING:
    from headrace.backup import Progress

_folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@click.command()
@_folder
@data_option
def backup(folder: Path, data: Path | None) -> None:
    """Write database and artifacts into FOLDER, as they are at this moment, while everything runs.

    Once more into the same folder, it copies only the artifacts that are new.
    """
    import headrace.backup

    with _bar() as progress:
        manifest = headrace.backup.backup(Settings.load(data=data), folder, progress)
    click.echo(f"{folder}: revision {manifest['revision']}, {len(manifest['artifacts'])} artifacts")


@click.command()
@_folder
@data_option
def restore(folder: Path, data: Path | None) -> None:
    """Bring the backup in FOLDER into an empty database, and its artifacts into the artifact store.

    Afterwards: headrace db upgrade, if this version is newer than the backup; headrace fsck; then start the
    parts. Jobs that ran at the time of the backup run again.
    """
    import headrace.backup

    settings = Settings.load(data=data)
    with _bar() as progress:
        manifest = headrace.backup.restore(settings, folder, progress)
    click.echo(f"{redact(settings.database_url)} is as it was at {manifest['taken_at']}", err=True)


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show how far the copying is, to people."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("copying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
