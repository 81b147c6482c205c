"""The command line of the suite."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from headrace.errors import Invalid
from headrace.specs.algorithms import catalogue
from headrace_workers.testing.suite import Suite


@click.command()
@click.argument("names", nargs=-1)
@click.option("--thorough", is_flag=True, help="Also every type of column alone, every cut, memory.")
def main(names: tuple[str, ...], thorough: bool) -> None:
    """Check the algorithms NAMES, or all that are installed. Ends with 1 when one does not conform."""
    names = names or tuple(catalogue())
    failed = False
    with tempfile.TemporaryDirectory(prefix="headrace-testing-") as folder:
        try:
            suite = Suite(Path(folder), names, thorough=thorough)
        except Invalid as error:
            raise click.UsageError(error.detail) from None
        for name in names:
            found = list(suite.problems(name))
            click.echo("\n".join(found) if found else f"{name}: conforms")
            failed |= bool(found)
    if failed:
        raise SystemExit(1)
