"""The command that makes a version again and says whether the same came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from headrace.cli.options import connect, server_options


@click.command()
@click.argument("ref", metavar="NAME[@VERSION|@ALIAS]")
@click.option("--timeout", type=click.FloatRange(min=0), help="Wait at most so many seconds.")
@server_options
def reproduce(ref: str, timeout: float | None, as_json: bool, **server: Any) -> int:
    """Train a version again from its lineage alone, and say whether the same came out, to the bit.

    The exit status is 0 if so, 1 if something differs or the job did not succeed. The verdict is kept with
    the version.
    """
    from headrace.cli import output
    from headrace.cli.follow import EXIT_STATUS, follow

    with connect(**server) as client:
        job = client.submit("reproduce", {"model": ref})
        job = follow(client, job["id"], details=False, as_json=as_json, timeout_s=timeout)
    verdict = job["result"]
    if as_json:
        output.print_json(job)
    elif verdict is not None:
        for line in lines(job["spec"]["model"], verdict):
            output.console().print(output.text(line))
    else:
        reason = job["error"]
        click.echo(f"{job['id']} has {job['state']}: {reason['message'] if reason else ''}", err=True)
    if verdict is None:
        return EXIT_STATUS[job["state"]]
    return 0 if verdict["identical"] else 1


def lines(ref: str, verdict: Mapping[str, Any]) -> Iterator[str]:
    """Yield a verdict in words."""
    if verdict["identical"]:
        yield f"{ref} came out again, identical to the bit: {verdict['weights_digest']}"
    else:
        yield f"{ref} did not come out the same: {verdict['weights_digest']}"
        yield f"                    instead of {verdict['expected_weights_digest']}"
    if verdict["differences"]:
        yield "What is different around it:" if verdict["identical"] else "What may have made the difference:"
        for difference in verdict["differences"]:
            yield f"  {difference}"
    if verdict["arrays"]:
        yield f"Arrays that differ ({verdict['differing_arrays']}), in the order of the model:"
        for array in verdict["arrays"]:
            by = "" if array["largest"] is None else f", by {array['largest']:.3g} at most"
            yield f"  {array['name']}: {array['differing']} of {array['values']} values{by}"
