"""The commands that explain a version and show what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headrace.cli.models import number_of
from headrace.cli.options import connect, server_options

BAR = 24


@click.command()
@click.argument("ref", metavar="NAME[@VERSION|@ALIAS]")
@click.option("--dataset", help="Dataset (name or name@3).  [default: the one that it learned from]")
@click.option(
    "--method",
    type=click.Choice(["permutation", "integrated_gradients"]),
    default="permutation",
    show_default=True,
    help="Shuffle each feature; or follow the gradients of a network.",
)
@click.option("--rows", type=click.IntRange(min=1), help="Explain so many rows at most.")
@click.option("--feature", "features", multiple=True, metavar="COLUMN", help="Shuffle these alone.")
@click.option("--repeats", type=click.IntRange(min=2), help="Shuffle each so often.")
@click.option("--label", help="Explain the probability of this class, not of the predicted one.")
@click.option("--dependence", multiple=True, metavar="COLUMN", help="Tell its partial dependence.")
@click.option("--seed", type=click.IntRange(min=0))
@click.option("--timeout", type=click.FloatRange(min=0), help="Wait at most so many seconds.")
@server_options
def explain(
    ref: str,
    dataset: str | None,
    method: str,
    rows: int | None,
    features: tuple[str, ...],
    repeats: int | None,
    label: str | None,
    dependence: tuple[str, ...],
    seed: int | None,
    timeout: float | None,
    as_json: bool,
    **server: Any,
) -> int:
    """Say what the predictions of a version rest on: submit a job, wait for it, show what it found.

    \b
    headrace explain wine --dataset wine
    headrace explain digits@1 --dataset digits --method integrated_gradients

    What was found stays with the version: `headrace explanation digits@1` shows it again.
    """
    from headrace.cli import output
    from headrace.cli.follow import EXIT_STATUS, follow

    given = {
        "rows": rows,
        "features": list(features) or None,
        "repeats": repeats,
        "label": label,
        "partial_dependence": list(dependence) or None,
        "seed": seed,
    }
    more = {name: value for name, value in given.items() if value is not None}
    with connect(**server) as client:
        if dataset is None:
            name, _, selector = ref.partition("@")
            version = client.model_version(name, number_of(client.model(name), selector))
            dataset = "{dataset}@{dataset_version}".format_map(version["lineage"])
        spec = {"model": ref, "dataset": dataset, "method": method, **more}
        job = client.submit("explain", spec)
        job = follow(client, job["id"], details=False, as_json=as_json, timeout_s=timeout)
        found = client.explanation(job["id"]) if job["state"] == "succeeded" else None
    if found is None:
        reason = job["error"]
        click.echo(f"{job['id']} has {job['state']}: {reason['message'] if reason else ''}", err=True)
    elif as_json:
        output.print_json(found)
    else:
        show(found)
    return EXIT_STATUS[job["state"]]


@click.command()
@click.argument("what", metavar="NAME[@VERSION|@ALIAS]|JOB")
@click.option("--list", "as_list", is_flag=True, help="List the explanations of the version.")
@server_options
def explanation(what: str, as_list: bool, as_json: bool, **server: Any) -> None:
    """Show the newest explanation of a version, or what an explain job has found."""
    from headrace.cli import output

    with connect(**server) as client:
        if what.startswith("job_"):
            found = client.explanation(what)
        else:
            name, _, selector = what.partition("@")
            number = number_of(client.model(name), selector)
            jobs = list(client.explanations(name, number))
            if as_list and as_json:
                output.print_json(jobs)
                return
            if as_list:
                rows = [
                    (job["job"], job["method"], job["dataset"], output.time_of(job["created_at"]))
                    for job in jobs
                ]
                output.print_table(["job", "method", "dataset", "made"], rows, empty="no explanations")
                return
            if not jobs:
                raise click.ClickException(
                    f"nobody has explained {name}@{number}: headrace explain {name}@{number}"
                )
            found = client.explanation(jobs[0]["job"])
    if as_json:
        output.print_json(found)
        return
    show(found)


def show(found: Mapping[str, Any]) -> None:
    """Print an explanation for people."""
    from headrace.cli import output

    rows = found["rows"]
    kind = "windows" if found["task"] == "forecast" else "rows"
    kind = f"test {kind}" if rows["part"] == "test" else kind
    said = f"{rows['used']} of {rows['of']} {kind} of {found['dataset']}"
    output.print_fields({"model": found["model"], "method": found["method"], "rows": said})
    if importance := found.get("importance"):
        _show_importance(importance)
    if attributions := found.get("attributions"):
        _show_attributions(attributions)
    for part in found.get("partial_dependence") or []:
        _show_dependence(part)


def _show_importance(importance: Mapping[str, Any]) -> None:
    from headrace.cli import output

    metrics = list(importance["metrics"])
    features = importance["features"]
    first = metrics[0]
    largest = max((entry["metrics"][first]["mean"] for entry in features), default=0.0)
    rows = [
        (
            entry["feature"],
            bar(entry["metrics"][first]["mean"], largest),
            *(_cost(entry["metrics"][name]) for name in metrics),
        )
        for entry in features
    ]
    output.print_table(["shuffled", "", *(f"{name} worse by" for name in metrics)], rows, empty="no features")


def _show_attributions(found: Mapping[str, Any]) -> None:
    from headrace.cli import output

    error = found["completeness"]["largest_error"]
    output.print_fields({"baseline": found["baseline"], "sums miss by at most": f"{error:.2g}"})
    if features := found.get("features"):
        rows = [
            (each["feature"], bar(each["size"], features[0]["size"]), each["size"], each["mean"])
            for each in features
        ]
        output.print_table(["column", "", "adds, up or down", "adds on average"], rows, empty="no columns")
    for group in found.get("words") or []:
        largest = max((abs(each["adds"]) for each in group["words"]), default=0.0)
        rows = [
            (each["word"], bar(abs(each["adds"]), largest), each["adds"], each["rows"])
            for each in group["words"]
        ]
        said = "word" if group["label"] is None else f"word, of {group['label']}"
        output.print_table([said, "", "adds", "rows"], rows, empty="no words")
    if found.get("picture"):
        output.console().print("Heat maps are pictures: the dashboard shows them, --json has them.")


def _show_dependence(part: Mapping[str, Any]) -> None:
    from headrace.cli import output

    labels = [
        "mean prediction" if curve["label"] is None else f"mean of {curve['label']}"
        for curve in part["curves"]
    ]
    rows = [(value, *(curve["mean"][i] for curve in part["curves"])) for i, value in enumerate(part["grid"])]
    output.print_table([part["feature"], *labels], rows, empty="no values")


def bar(value: float, largest: float) -> str:
    """Return ``value`` as a bar; ``largest`` is the longest."""
    return "█" * round(BAR * max(value, 0.0) / largest) if largest > 0 else ""


def _cost(cost: Mapping[str, Any]) -> str:
    low, high = cost["interval"]
    return f"{cost['mean']:.4g} ({low:.4g} to {high:.4g})"
