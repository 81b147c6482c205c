"""``headrace health``: the health check of a container or a service manager."""

from __future__ import annotations

import http.client
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path
from typing import Literal, get_args

import click

from headrace import online, pulse
from headrace.cli.options import data_option, json_option
from headrace.config import Settings

_ANSWER_S = 5.0


@click.command()
@click.argument("part", type=click.Choice(["web", "serve", *get_args(pulse.Pulsing)]))
@data_option
@json_option
def health(part: Literal["web", "serve", "scheduler", "worker"], data: Path | None, as_json: bool) -> int:
    """Say whether PART of this machine is alive: exit status 0 if it is, 1 if not.

    The servers are asked; scheduler and worker leave a sign of life in their data folder. That jobs can be
    accepted and run is another question: GET /readyz answers it.
    """
    from headrace.cli import output

    settings = Settings.load(data=data)
    match part:
        case "web":
            reason = _web(settings)
        case "serve":
            reason = _serve(settings)
        case _:
            reason = _silence(settings, part)
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


def _serve(settings: Settings) -> str:
    """Return what is wrong with the serving process, or nothing. It is greeted, and asked nothing."""
    where = online.address(settings)
    try:
        Client(where, authkey=online.secret(settings)).close()
    except AuthenticationError:
        return "the serving process has another HEADRACE_SERVE_SECRET"
    except (OSError, EOFError) as error:
        return f"the serving process at {where} does not answer: {error}"
    return ""


def _silence(settings: Settings, part: pulse.Pulsing) -> str:
    """Return what is wrong with a part that leaves signs of life, or nothing."""
    silent = pulse.silent_s(settings, part)
    if silent is None:
        return f"no {part} has run on {settings.data}"
    return "" if silent < pulse.LONGEST_S else f"the {part} has given no sign of life for {silent:.0f} s"
