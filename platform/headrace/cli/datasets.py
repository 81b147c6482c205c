"""Commands about datasets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import connect, server_options

if TYPE_CHECKING:
    from headrace.client.transport import ProgressCallback


@click.group(invoke_without_command=True)
@server_options
@click.pass_context
def datasets(ctx: click.Context, /, as_json: bool, **server: Any) -> None:
    """List datasets, or upload one."""
    if ctx.invoked_subcommand is not None:
        return
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.datasets())
    if as_json:
        output.print_json(found)
        return
    rows = [(d["name"], d.get("latest_version"), output.time_of(d.get("created_at"))) for d in found]
    output.print_table(["name", "version", "created"], rows, empty="no datasets")


@datasets.command()
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--type", "types", multiple=True, metavar="COLUMN:TYPE", help="Type of a column.")
@click.option("--media-type", help="What the file is, where its suffix does not tell.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it is ingested.")
@server_options
def upload(
    name: str,
    file: Path,
    types: tuple[str, ...],
    media_type: str | None,
    no_wait: bool,
    as_json: bool,
    **server: Any,
) -> None:
    """Upload FILE as a new version of dataset NAME, and wait until it is ready.

    The same bytes again give the version that has them.
    """
    from headrace.cli import output

    overrides = {}
    for text in types:
        column, colon, kind = text.rpartition(":")
        if not colon or not column:
            raise click.BadParameter(f"{text!r} should be column:type", param_hint="--type")
        overrides[column] = kind
    with connect(**server) as client, transfer_bar(f"upload {file.name}", quiet=as_json) as progress:
        version = client.upload_dataset(name, file, media_type=media_type, types=overrides, progress=progress)
        if not no_wait:
            version = client.wait_dataset(name, version["version"])
    if as_json:
        output.print_json(version)
        return
    output.print_fields(describe(version))


@datasets.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@click.option("--columns", is_flag=True, help="What was found in each column, and why it has its type.")
@server_options
def show(ref: str, columns: bool, as_json: bool, **server: Any) -> None:
    """Show one version of a dataset, by default the latest."""
    from headrace.cli import output

    name, _, number = ref.partition("@")
    with connect(**server) as client:
        chosen = int(number) if number.isdecimal() else client.dataset(name).get("latest_version")
        if chosen is None or (number and not number.isdecimal()):
            raise click.ClickException(f"{ref} should be NAME or NAME@VERSION of a dataset with versions")
        found: Any = client.profile(name, chosen) if columns else client.dataset_version(name, chosen)
    if as_json:
        output.print_json(found)
    elif columns:
        rows = [
            (column, entry["type"], entry.get("why"), entry["missing"], "; ".join(entry["warnings"]))
            for column, entry in found["columns"].items()
        ]
        names = ["column", "type", "why", "missing", "warnings"]
        output.print_table(names, rows, empty="no columns", flexible=["why", "warnings"])
    else:
        output.print_fields(describe(found))


def describe(version: Any) -> dict[str, object]:
    """Return what people want to know of a dataset version."""
    from headrace.cli import output

    columns = version.get("columns") or []
    shown = ", ".join(f"{c['name']} ({c['type']})" for c in columns[:20])
    error = version.get("error") or {}
    return {
        "dataset": f"{version['dataset']}@{version['version']}",
        "state": version["state"],
        "rows": version.get("rows"),
        "columns": shown + (f", … {len(columns)} in all" if len(columns) > 20 else ""),
        "size": output.size(version.get("size_bytes")),
        "digest": version.get("digest"),
        "job": version.get("job"),
        "error": error.get("message") if isinstance(error, dict) else error,
    }


@contextmanager
def transfer_bar(description: str, *, quiet: bool = False) -> Iterator[ProgressCallback]:
    """Show bytes on the way, on standard error where that is a terminal; yield the callback."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(30), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
