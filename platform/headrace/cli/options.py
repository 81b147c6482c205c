"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headrace.config import Settings

if TYPE_CHECKING:
    from headrace.client import Client

F = TypeVar("F", bound=Callable[..., Any])

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder.  [default: HEADRACE_DATA or ./headrace-data]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def server_options(command: F) -> F:
    """Add the options that say which server to call; `connect` takes their values."""
    for option in (
        json_option,
        data_option,
        click.option("--project", help="Another project than the key's (admin keys only)."),
        click.option("--key", help="API key.  [default: HEADRACE_KEY or DATA/admin.key]"),
        click.option("--url", help="Server.  [default: HEADRACE_URL or that of the data folder]"),
    ):
        command = option(command)
    return command


def connect(url: str | None, key: str | None, data: Path | None, project: str | None) -> Client:
    """Return a client as the options of a command say."""
    from headrace.client import Client

    settings = Settings.load(data=data)
    return Client(url, key, project=project, settings=settings)
