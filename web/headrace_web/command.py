"""The command ``headrace web``."""

from __future__ import annotations

import click

from headrace.config import Settings


@click.command()
@click.option("--host", help="Address to bind.")
@click.option("--port", type=int, help="Port to bind.")
@click.option("--data", type=click.Path(file_okay=False), help="Data folder.")
def web(host: str | None, port: int | None, data: str | None) -> None:
    """Serve the API."""
    from headrace_web.server import serve

    serve(Settings.load(host=host, port=port, data=data))
