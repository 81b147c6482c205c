"""Commands about models and algorithms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from headrace.cli.datasets import transfer_bar
from headrace.cli.options import connect, server_options


@click.group(invoke_without_command=True)
@server_options
@click.pass_context
def models(ctx: click.Context, /, as_json: bool, **server: Any) -> None:
    """List models, newest first, or upload one."""
    if ctx.invoked_subcommand is not None:
        return
    from headrace.cli import output

    with connect(**server) as client:
        found = list(client.models())
    if as_json:
        output.print_json(found)
        return
    rows = [
        (
            model["name"],
            model.get("latest_version"),
            ", ".join(f"{alias} → {number}" for alias, number in (model.get("aliases") or {}).items()),
            output.time_of(model.get("created_at")),
        )
        for model in found
    ]
    output.print_table(["name", "version", "aliases", "created"], rows, empty="no models")


@models.command()
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--no-wait", is_flag=True, help="Do not wait until it is read.")
@server_options
def upload(name: str, file: Path, no_wait: bool, as_json: bool, **server: Any) -> None:
    """Upload FILE, a .keras file, as a new version of model NAME that training can start from.

    It is read by a job; wait until that ends.
    """
    from headrace.cli import output

    with connect(**server) as client, transfer_bar(f"upload {file.name}", quiet=as_json) as progress:
        job = client.upload_model(name, file, progress=progress)
        if not no_wait:
            job = client.wait(job["id"])
    if as_json:
        output.print_json(job)
    elif job["state"] == "succeeded":
        made = job["result"] or {}
        click.echo(f"{made['model']}@{made['version']}: a network of {made['parameters']:,} parameters")
    else:
        output.print_fields({"job": job["id"], "state": job["state"]})
    error = job.get("error")
    if error:
        raise click.ClickException(f"{file.name} could not be read: {error['message']}")


@click.command()
@click.argument("ref", metavar="NAME[@VERSION|@ALIAS]")
@click.option("--evaluation", is_flag=True, help="Print how good it is on its test rows, as JSON.")
@click.option(
    "--archive",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save the packaged model, checked.",
)
@server_options
def model(ref: str, evaluation: bool, target: Path | None, as_json: bool, **server: Any) -> None:
    """Show a model and its versions; or one version, how good it is and where it comes from."""
    from headrace.cli import output

    name, at, selector = ref.partition("@")
    with connect(**server) as client:
        found = client.model(name)
        if not at and not evaluation and target is None:
            versions = list(client.model_versions(name))
            if as_json:
                output.print_json({**found, "versions": versions})
                return
            output.print_fields({"model": name, "aliases": found.get("aliases")})
            rows = [
                (v["version"], v["algorithm"], output.short_time_of(v["created_at"]), metrics(v))
                for v in versions
            ]
            output.print_table(
                ["version", "algorithm", "created", "metrics"],
                rows,
                empty="no versions",
                flexible=["metrics"],
            )
            return
        number = number_of(found, selector)
        if evaluation:
            output.print_json(client.evaluation(name, number))
            return
        if target is not None:
            digest = client.archive(name, number, target)
            click.echo(f"saved {target} ({digest})", err=True)
            return
        version = client.model_version(name, number)
    if as_json:
        output.print_json(version)
        return
    output.print_fields(
        {
            "version": f"{name}@{number}",
            "aliases": ", ".join(version.get("aliases", [])),
            "algorithm": version["algorithm"],
            "params": version["params"],
            "metrics": metrics(version),
            "dataset": origin(version["lineage"]),
            "seed": version["lineage"].get("seed"),
            "split": version["lineage"].get("split"),
            "weights": version["weights_digest"],
            "package": f"{version['digest']} ({output.size(version['size_bytes'])})",
            "reproduced": reproduced(version),
            "job": version["job"],
            "created": output.time_of(version["created_at"]),
        }
    )


@click.command()
@click.argument("name", required=False)
@server_options
def algorithms(name: str | None, as_json: bool, **server: Any) -> None:
    """List algorithms, or show the params of one."""
    from headrace.cli import output

    with connect(**server) as client:
        found = client.algorithms()
    if name is None:
        if as_json:
            output.print_json(found)
            return
        rows = [(a["name"], ", ".join(a.get("tasks", [])), a.get("summary", "")) for a in found]
        output.print_table(
            ["name", "tasks", "what it is"], rows, empty="no algorithms", flexible=["what it is"]
        )
        return
    chosen = next((a for a in found if a["name"] == name), None)
    if chosen is None:
        known = ", ".join(a["name"] for a in found)
        raise click.ClickException(f"there is no algorithm {name!r}; there are {known}")
    if as_json:
        output.print_json(chosen)
        return
    output.print_fields({"algorithm": chosen["name"], "about": chosen.get("summary")})
    fields = chosen.get("params", {}).get("properties", {})
    params = [
        (
            param,
            "null" if field.get("default", "") is None else field.get("default"),
            field.get("description", ""),
        )
        for param, field in fields.items()
    ]
    output.print_table(["param", "default", "meaning"], params, empty="no params", flexible=["meaning"])


def origin(lineage: Any) -> str:
    """Return of what a version was made, on one line."""
    if "uploaded" in lineage:
        return "uploaded: {filename} {digest}".format_map(lineage["uploaded"])
    return "{dataset}@{dataset_version} {dataset_digest}".format_map(lineage)


def metrics(version: Any) -> str:
    """Return the metrics of a version that are plain numbers, on one line."""
    found = version.get("metrics") or {}
    return ", ".join(
        f"{name} {value:.4g}" for name, value in found.items() if isinstance(value, (int, float))
    )


def reproduced(version: Any) -> str:
    """Return what the last reproduce job found, on one line; nothing where there was none."""
    from headrace.cli import output

    found = version.get("reproduced")
    if not found:
        return ""
    when = f"{output.time_of(found['at'])} by {found['job']}"
    return (
        f"identical, {when}" if found["identical"] else f"{found['differing_arrays']} arrays differ, {when}"
    )


def number_of(model: Any, selector: str) -> int:
    """Return the version that ``selector`` means: a number, an alias, or nothing for the latest.

    Raises ClickException where there is none.
    """
    if selector.isdecimal():
        return int(selector)
    number = model.get("aliases", {}).get(selector) if selector else model.get("latest_version")
    if number is None:
        raise click.ClickException(f"{model['name']} has no version {selector!r}".replace(" ''", ""))
    return int(number)
