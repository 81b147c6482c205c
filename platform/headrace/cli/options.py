"""Options that many commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headrace.config import Settings

if TYPE_CHECKING:
    from headrace.client import Client

F = TypeVar("F", bound=Callable[..., Any])
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder.  [default: HEADRACE_DATA or ./headrace-data]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class Duration(click.ParamType[timedelta]):
    """A duration such as ``90s``, ``12h`` or ``30d``."""

    name = "duration"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the duration; a wrong one is a usage error."""
        match = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", value)
        if match is None:
            self.fail(f"{value!r} should be a number with s, m, h, d or w, such as 30d", param, ctx)
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


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
