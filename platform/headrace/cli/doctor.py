"""The command ``headrace doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.cli.options import data_option, json_option
from headrace.config import Settings

_STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@data_option
@json_option
def doctor(data: Path | None, as_json: bool) -> int:
    """Say what is wrong with this installation, and what would mend it. Exits with 1 if anything is.

    Warnings do not count. Looks at the data folder, disks, artifact store, broker, database, clock, admin
    key, workers and scheduler.
    """
    from headrace import doctor
    from headrace.cli import output

    findings = list(doctor.examine(Settings.load(data=data)))
    wrong = any(finding.severity == "error" for finding in findings)
    if as_json:
        output.print_json({"ok": not wrong, "findings": [finding._asdict() for finding in findings]})
        return int(wrong)
    for found in findings:
        click.echo(click.style(f"{found.severity:<8}", fg=_STYLES[found.severity]), nl=False)
        click.echo(output.clean(f"{found.check:<18}{found.message}"))
        if found.advice:
            click.echo(f"{'':<26}→ {output.clean(found.advice)}")
    return int(wrong)
