"""The command that predicts a few instances at once."""

from __future__ import annotations

import json
from typing import IO, Any

import click

from headrace.cli.options import connect, server_options
from headrace.errors import Malformed

LISTED = {"item", "score"}
"""What each entry of a list of recommended items has."""


@click.command()
@click.argument("ref", metavar="NAME[@VERSION|@ALIAS]")
@click.argument("instances", type=click.File(encoding="utf-8"), metavar="FILE")
@server_options
def predict(ref: str, instances: IO[str], as_json: bool, **server: Any) -> None:
    """Predict the instances in FILE (- is standard input): a JSON object, a list of them, or one a line.

    For many rows upload them and submit a predict job instead.
    """
    from headrace.cli import output

    given = _read(instances)
    with connect(**server) as client:
        answer = client.predict(ref, given)
    if as_json:
        output.print_json(answer)
        return
    rows = [_row(found) for found in answer["predictions"]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    output.print_table(
        ["", *names],
        [(number, *(row.get(name, "") for name in names)) for number, row in enumerate(rows, 1)],
        empty="no instances",
    )


def _row(found: dict[str, Any]) -> dict[str, Any]:
    """Return a prediction as columns: of a classifier the label and its probability; else what there is."""
    if "probabilities" in found:
        best = max(found["probabilities"].values())
        return {"prediction": found["label"], "probability": f"{best:.4f}"}
    return {"prediction" if name == "value" else name: _cell(value) for name, value in found.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(each, dict) and each.keys() == LISTED for each in value):
        return ", ".join(f"{each['item']} ({each['score']:.4g})" for each in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _read(file: IO[str]) -> list[dict[str, Any]]:
    text = file.read()
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise Malformed(f"{file.name} holds neither JSON nor a JSON object a line: {error}") from None
    instances = found if isinstance(found, list) else [found]
    if not instances or not all(isinstance(instance, dict) for instance in instances):
        raise Malformed(f"{file.name} should hold an object of the model's input columns, or a list of them")
    return instances
