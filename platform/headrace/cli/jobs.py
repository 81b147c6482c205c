"""Commands about jobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headrace.cli.options import connect, server_options

if TYPE_CHECKING:
    from headrace.client import Client
    from headrace.client.types import Job

F = TypeVar("F", bound=Callable[..., Any])
STATES = ["waiting", "queued", "running", "succeeded", "failed", "cancelled"]


def wait_options(command: F) -> F:
    """Add the options that say whether and how to wait for a job."""
    for option in (
        click.option("--timeout", type=click.FloatRange(min=0), help="Wait at most so many seconds."),
        click.option("--follow", is_flag=True, help="Wait, and show states, progress, metrics and log."),
        click.option("--wait", is_flag=True, help="Wait until it has ended; the exit status tells how."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("what", metavar="FILE.json|-|KIND")
@click.option("--model", help="Model to train, or to use (name, name@3, name@alias).")
@click.option("--dataset", help="Dataset (name or name@3).")
@click.option("--algorithm", help="Algorithm; `headrace algorithms` lists them.")
@click.option("--target", help="Column to learn, where the algorithm learns one.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Param of the algorithm.")
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE", help="Any field: split.test=0.2")
@click.option("--name", help="What people call the job.")
@click.option("--priority", type=click.IntRange(0, 9), help="9 first.")
@click.option("--queue", help="Queue to wait in.")
@click.option("--max-attempts", type=click.IntRange(min=1), help="Failures after which it has failed.")
@click.option(
    "--timeout-s",
    type=click.IntRange(min=1),
    help="Longest run of one attempt, or of each part's, in seconds.",
)
@click.option("--depends-on", multiple=True, metavar="JOB", help="Job that must succeed before.")
@click.option(
    "--result",
    "results",
    multiple=True,
    metavar="PATH=JOB[.PATH]",
    help="Field that takes its value from the result of a job, on which this one then depends.",
)
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Tag to find it by.")
@click.option("--idempotency-key", help="The same key again gives the first answer again.")
@wait_options
@server_options
def submit(
    what: str,
    model: str | None,
    dataset: str | None,
    algorithm: str | None,
    target: str | None,
    params: tuple[str, ...],
    settings: tuple[str, ...],
    name: str | None,
    priority: int | None,
    queue: str | None,
    max_attempts: int | None,
    timeout_s: int | None,
    depends_on: tuple[str, ...],
    results: tuple[str, ...],
    tags: tuple[str, ...],
    idempotency_key: str | None,
    wait: bool,
    follow: bool,
    timeout: float | None,
    as_json: bool,
    **server: Any,
) -> int:
    """Submit a job: the body in FILE.json or on standard input, or one of KIND made of the options.

    \b
    headrace submit examples/specs/train_digits.json --follow
    headrace submit train --model digits --dataset digits --algorithm cnn --target label --param epochs=5
    headrace submit predict --model digits@1 --dataset digits --set format=csv --set keep='["label"]'
    headrace submit evaluate --result model=job_… --dataset digits   (the version that the job makes)

    Values are JSON where they can be read as such, else text. Options change what the file says.
    """
    body = _body(what)
    _merge(body.setdefault("spec", {}), model=model, dataset=dataset, algorithm=algorithm, target=target)
    for path, value in _pairs("--param", params):
        _put(body["spec"], ["params", path], value)
    for path, value in _pairs("--set", settings):
        _put(body["spec"], path.split("."), value)
    _merge(body, name=name, priority=priority, queue=queue, max_attempts=max_attempts, timeout_s=timeout_s)
    _merge(body, depends_on=list(depends_on) or None)
    for path, value in _pairs("--result", results):
        source, _, taken = str(value).partition(".")
        _put(body["spec"], path.split("."), {"$result": source} | ({"path": taken} if taken else {}))
        body["depends_on"] = list(dict.fromkeys([*body.get("depends_on", []), source]))
    for key, value in _pairs("--tag", tags):
        _put(body, ["tags", key], value if isinstance(value, str) else json.dumps(value))
    with connect(**server) as client:
        job = client.submit_body(body, idempotency_key=idempotency_key)
        if wait or follow:
            return _finish(client, job["id"], follow=follow, timeout=timeout, as_json=as_json)
    _show(job, as_json)
    return 0


@click.command()
@click.option("--state", type=click.Choice(STATES))
@click.option("--kind", help="train, evaluate, predict, …")
@click.option("--queue")
@click.option("--model")
@click.option("--dataset")
@click.option("--tag", metavar="KEY:VALUE")
@click.option("--parent", metavar="JOB", help="Only the parts of this job's work.")
@click.option("--q", help="Part of the name, or an id.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@server_options
def jobs(limit: int, as_json: bool, **more: Any) -> None:
    """List jobs, newest first."""
    from headrace.cli import output

    server = {name: more.pop(name) for name in ("url", "key", "data", "project")}
    with connect(**server) as client:
        found = list(client.jobs(limit=limit, **more))
    if as_json:
        output.print_json(found)
        return
    output.print_table(
        ["id", "kind", "state", "done", "created", "name"],
        [
            (
                job["id"],
                job["kind"],
                job["state"],
                f"{job['progress']['fraction']:.0%}",
                output.short_time_of(job["created_at"]),
                job["name"],
            )
            for job in found
        ],
        empty="no jobs",
        flexible=["name"],
    )


@click.command()
@click.argument("id")
@wait_options
@click.option("--logs", is_flag=True, help="Print its log.")
@click.option(
    "--output",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save the file that it has made, checked.",
)
@server_options
def job(
    id: str,
    wait: bool,
    follow: bool,
    timeout: float | None,
    logs: bool,
    target: Path | None,
    as_json: bool,
    **server: Any,
) -> int:
    """Show one job; wait for it; follow it; save what it has made.

    With --wait or --follow the exit status tells how it ended: 0 succeeded, 1 failed, 3 cancelled. Ctrl-C
    ends the waiting, not the job.
    """
    with connect(**server) as client:
        if logs:
            click.echo(client.logs(id), nl=False)
            return 0
        status = 0
        if wait or follow:
            status = _finish(client, id, follow=follow, timeout=timeout, as_json=as_json)
        elif target is None:
            _show(client.job(id), as_json)
            if not as_json:
                _show_parts(client, id)
        if target is not None and status == 0:
            digest = client.output(id, target)
            click.echo(f"saved {target} ({digest})", err=True)
    return status


@click.command()
@click.argument("id")
@server_options
def cancel(id: str, as_json: bool, **server: Any) -> None:
    """Cancel a job: at once where it does not run yet, within seconds where it does."""
    with connect(**server) as client:
        _show(client.cancel(id), as_json)


@click.command()
@click.argument("id")
@click.option("--resume", is_flag=True, help="Go on from its last checkpoint, where there is one.")
@wait_options
@server_options
def retry(
    id: str, resume: bool, wait: bool, follow: bool, timeout: float | None, as_json: bool, **server: Any
) -> int:
    """Submit a failed or cancelled job again, as a new one."""
    with connect(**server) as client:
        job = client.retry(id, resume=resume)
        if wait or follow:
            return _finish(client, job["id"], follow=follow, timeout=timeout, as_json=as_json)
    _show(job, as_json)
    return 0


def _finish(client: Client, id: str, *, follow: bool, timeout: float | None, as_json: bool) -> int:
    from headrace.cli import output
    from headrace.cli.follow import EXIT_STATUS
    from headrace.cli.follow import follow as show

    job = show(client, id, details=follow, as_json=as_json, timeout_s=timeout)
    if as_json and follow:
        output.print_json_line(job)
    else:
        _show(job, as_json)
    return EXIT_STATUS[job["state"]]


def _show(job: Job, as_json: bool) -> None:
    from headrace.cli import costs, output

    if as_json:
        output.print_json(job)
        return
    error, cost = job["error"], job.get("cost")
    output.print_fields(
        {
            "id": job["id"],
            "kind": job["kind"],
            "name": job["name"],
            "state": job["state"],
            "progress": f"{job['progress']['fraction']:.0%} {job['progress']['message']}".strip(),
            "attempt": f"{job['attempt']} ({job['failures']} of {job['max_attempts']} failures)",
            "created": output.time_of(job["created_at"]),
            "finished": output.time_of(job["finished_at"]),
            "cost": costs.described(cost) if cost else None,
            "spec": job["spec"],
            "tags": job["tags"],
            "result": job["result"],
            "error": f"{error['type']}: {error['message']}" if error else None,
        }
    )


def _show_parts(client: Client, id: str) -> None:
    """Show the jobs that are the work of this one, where it is of such a kind."""
    found = list(client.jobs(parent=id))
    if found:
        from headrace.cli.parts import print_parts

        click.echo()
        print_parts(found[::-1])


def _body(what: str) -> dict[str, Any]:
    """The body of the request that ``what`` names: a file, standard input, or a kind."""
    if what != "-" and not what.endswith(".json") and not Path(what).is_file():
        return {"kind": what}
    try:
        text = sys.stdin.read() if what == "-" else Path(what).read_text()
        body = json.loads(text)
    except OSError as error:
        raise click.ClickException(f"cannot read {what}: {error.strerror}") from None
    except ValueError as error:
        raise click.ClickException(f"{what} is not JSON: {error}") from None
    if not isinstance(body, dict) or not isinstance(body.get("spec", {}), dict):
        raise click.ClickException(f'{what} should hold an object such as {{"kind": "train", "spec": {{…}}}}')
    return body


def _pairs(option: str, texts: tuple[str, ...]) -> list[tuple[str, Any]]:
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} should be name=value", param_hint=option)
        pairs.append((name, _value(value)))
    return pairs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _put(target: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        inner = target.setdefault(step, {})
        if not isinstance(inner, dict):
            raise click.BadParameter(f"{step} is {json.dumps(inner)}, which has no fields")
        target = inner
    target[path[-1]] = value


def _merge(into: dict[str, Any], /, **fields: Any) -> None:
    into.update({name: value for name, value in fields.items() if value is not None})
