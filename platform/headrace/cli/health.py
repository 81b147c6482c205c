"""``headrace health``: the health check of a container or a service manager."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Literal, get_args

import click

from headrace import pulse
from headrace.cli.options import data_option, json_option
from headrace.config import Settings

_ANSWER_S = 5.0


@click.command()
@click.argument("part", type=click.Choice(["web", *get_args(pulse.Pulsing)]))
@data_option
@json_option
def health(part: Literal["web", "scheduler", "worker"], data: Path | None, as_json: bool) -> int:
    """Say whether PART of this machine is alive: exit status 0 if it is, 1 if not.

    The web server is asked over HTTP; scheduler and worker leave a sign of life in their data folder. That
    jobs can be accepted and run is another question: GET /readyz answers it.
    """
    from headrace.cli import output

    settings = Settings.load(data=data)
    reason = _web(settings) if part == "web" else _silence(settings, part)
    if as_json:
        output.print_json({"part": part, "alive": not reason, "reason": reason})
    else:
        click.echo(reason or f"the {part} is alive", err=bool(reason))
    return 1 if reason else 0


def _web(settings: Settings) -> str:
    """Return what is wrong with the web server, or nothing."""
    host = settings.local_url.removeprefix("http://").rpartition(":")[0].strip("[]")
    connection = http.client.HTTPConnection(host, settings.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"the web server at {settings.local_url} does not answer: {error}"
    finally:
        connection.close()
    return "" if status == 200 else f"the web server at {settings.local_url} answers {status}"


def _silence(settings: Settings, part: pulse.Pulsing) -> str:
    """Return what is wrong with a part that leaves signs of life, or nothing."""
    silent = pulse.silent_s(settings, part)
    if silent is None:
        return f"no {part} has run on {settings.data}"
    return "" if silent < pulse.LONGEST_S else f"the {part} has given no sign of life for {silent:.0f} s"
