"""How good a model is, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from headrace.cli.models import number_of
from headrace.cli.options import connect, server_options


@click.command()
@click.argument("what", metavar="NAME[@VERSION|@ALIAS]|JOB")
@server_options
def evaluation(what: str, as_json: bool, **server: Any) -> None:
    """Show how good a version is on its test rows, or what an evaluate job has found."""
    from headrace.cli import output

    name, _, selector = what.partition("@")
    with connect(**server) as client:
        if what.startswith("job_"):
            found = client.job_evaluation(what)
        else:
            found = client.evaluation(name, number_of(client.model(name), selector))
    if as_json:
        output.print_json(found)
        return
    verdict = found.get("verdict") or {}
    fields = {"rows": found.get("rows"), "could not be predicted": found.get("bad_rows") or None}
    output.print_fields(fields | {"verdict": verdict.get("text"), "note": found.get("note")})
    baseline = (found.get("baseline") or {}).get("metrics", {})
    ends = (found.get("intervals") or {}).get("metrics", {})
    rows = [
        (metric, value, _between(ends.get(metric)), baseline.get(metric))
        for metric, value in found["metrics"].items()
    ]
    output.print_table(["metric", "value", "interval", "baseline"], rows, empty="no metrics")
    for part in found.get("slices") or []:
        _print_slice(part)
    steps = found.get("by_step")
    if steps:
        names = ["step", "mae", "baseline_mae", "rmse", "mase", "smape", "coverage", "width"]
        output.print_table(names, [[entry.get(name) for name in names] for entry in steps], empty="")
    warnings = found.get("warnings")
    if warnings:
        output.print_table(
            ["column", "noticed", "why it matters"],
            [(warning["column"], warning["kind"], warning["message"]) for warning in warnings],
            empty="",
            flexible=["why it matters"],
        )


def _print_slice(part: Mapping[str, Any]) -> None:
    from headrace.cli import output

    metrics = list(dict.fromkeys(name for group in part["groups"] for name in group["metrics"]))
    rows = [
        (
            _group(group),
            group["rows"],
            *(_measured(group, name) for name in metrics),
            "few rows" if group.get("small") else group.get("differs"),
        )
        for group in part["groups"]
    ]
    output.print_table([part["column"], "rows", *metrics, "than overall"], rows, empty="no rows")
    for fair in part.get("fairness") or []:
        _print_fairness(part, fair)


def _print_fairness(part: Mapping[str, Any], fair: Mapping[str, Any]) -> None:
    from headrace.cli import output

    rates = {
        "selection_rate": "predicted so",
        "true_positive_rate": "found",
        "false_positive_rate": "wrongly",
    }
    rows = [
        (
            _group(group),
            told["rows"],
            told["of_class"],
            *(_measured({**told, "metrics": told["rates"]}, rate) for rate in rates),
        )
        for group, told in zip(part["groups"], fair["groups"], strict=True)
    ]
    output.print_table(
        [f"{part['column']}, of {fair['label']}", "rows", "of it", *rates.values()], rows, empty="no rows"
    )
    output.print_fields(
        {metric.replace("_", " "): _measured(fair, metric) for metric in fair["metrics"]}
        or {"fairness": "fewer than two groups have rows enough to be compared"}
    )


def _measured(group: Mapping[str, Any], metric: str) -> str:
    if metric not in group["metrics"]:
        return ""
    ends = group["intervals"].get(metric)
    return f"{group['metrics'][metric]:.4g}" + (f" ({_between(ends)})" if ends else "")


def _group(group: Mapping[str, Any]) -> str:
    if "others" in group:
        return f"{group['others']} other levels"
    if "from" in group:
        ends = (group["from"], group["to"])
        return " to ".join(f"{end:.4g}" if isinstance(end, float) else str(end) for end in ends)
    return "missing" if group["value"] is None else str(group["value"])


def _between(ends: Sequence[float] | None) -> str:
    return f"{ends[0]:.4g} to {ends[1]:.4g}" if ends else ""
