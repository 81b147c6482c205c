"""What jobs cost."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from headrace.cli.options import connect, server_options

if TYPE_CHECKING:
    from headrace.client.types import Cost

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option(
    "--by", type=click.Choice(["project", "model", "schedule"]), default="project", show_default=True
)
@click.option("--since", type=_DAY, metavar="YYYY-MM-DD", help="The first day (UTC).")
@click.option("--until", type=_DAY, metavar="YYYY-MM-DD", help="The last day (UTC).")
@server_options
def costs(
    by: Literal["project", "model", "schedule"],
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    **server: Any,
) -> None:
    """Add up what the attempts of jobs have used that ended in a range of days."""
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.costs(by, since=since and since.date(), until=until and until.date()))
    if as_json:
        output.print_json(found)
        return
    rows = [
        (
            row["name"],
            row["cost"]["attempts"],
            duration(row["cost"]["wall_s"]),
            duration(row["cost"]["cpu_s"]),
            output.size(row["cost"]["peak_bytes"]),
            energy(row["cost"]),
        )
        for row in found
    ]
    output.print_table(
        [by, "attempts", "time", "processor", "most memory", "energy"],
        rows,
        empty="nothing has run",
        flexible=[by],
    )


def described(cost: Cost) -> str:
    """Return one cost in a line."""
    from headrace.cli import output

    used = f"{duration(cost['cpu_s'])} of processor time in {duration(cost['wall_s'])}"
    return f"{used}, {output.size(cost['peak_bytes'])}, {energy(cost)}"


def duration(seconds: float) -> str:
    """Return a time for people, from seconds to hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def energy(cost: Cost) -> str:
    """Return the energy in watt-hours, with what it is worth."""
    mark = " (estimate)" if cost["energy_source"] == "estimate" else ""
    return f"{cost['energy_j'] / 3600:.3g} Wh{mark}" if cost["energy_source"] else ""
