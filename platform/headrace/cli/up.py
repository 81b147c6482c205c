"""``headrace up``: a whole deployment on this machine."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path

import click

from headrace.cli import deployment
from headrace.cli.options import data_option
from headrace.config import Settings


@click.command()
@data_option
@click.option("--host", help="Address to bind.  [default: HEADRACE_HOST or 127.0.0.1]")
@click.option("--port", type=int, help="Port to bind.  [default: HEADRACE_PORT or 8700]")
@click.option("--slots", type=int, help="Jobs to run at once.  [default: half of the cores]")
def up(data: Path | None, host: str | None, port: int | None, slots: int | None) -> None:
    """Run everything on this machine until Ctrl-C: web server, scheduler, worker, and a broker.

    All of it lives in the data folder, which is made if need be; started again, it goes on where it was. A
    part that dies is started again. The first run writes an admin key to DATA/admin.key.
    """
    from headrace.cli.supervise import CannotStart, Supervisor

    settings = Settings.load(data=data, host=host, port=port, slots=slots)
    deployment.make_data_folder(settings)
    with deployment.locked(settings):
        deployment.check_port(settings)
        _say(f"starting on {settings.data}")
        deployment.prepare(settings)
        supervisor = Supervisor(
            deployment.parts(settings),
            env=settings.environ_of_child(),
            logs=settings.data / "logs",
            report=_say,
        )
        try:
            supervisor.run(lambda: _is_ready(settings), lambda: _tell_ready(settings))
        except CannotStart as error:
            raise click.ClickException(str(error)) from None
    _say("stopped; started again it goes on where it was")


def _is_ready(settings: Settings) -> bool:
    host = settings.local_url.removeprefix("http://").rpartition(":")[0].strip("[]")
    connection = http.client.HTTPConnection(host, settings.port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tell_ready(settings: Settings) -> None:
    deployment.write_private(settings.url_file, settings.local_url + "\n")
    folder = "" if settings.data == Path("headrace-data").absolute() else f" --data {settings.data}"
    _say(
        f"ready: {settings.local_url}\n"
        f"  dashboard                  {settings.local_url}/\n"
        f"  API and its documentation  {settings.local_url}/docs\n"
        f"  admin key                  {settings.admin_key_file}\n"
        f"  logs                       {settings.data / 'logs'}\n"
        f"  in another terminal        headrace algorithms{folder}\n"
        "Ctrl-C stops it."
    )


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
