"""Figures drawn with characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.style import Style
from rich.table import Table
from rich.text import Text

from headrace.cli.output import clean

MOST_CLASSES = 30


def confusion_matrix(evaluation: Mapping[str, Any]) -> Table | Text:
    """Draw the confusion matrix of an evaluation: a row for each true class, a column for each predicted.

    The deeper a cell's colour, the larger its share of its row: green where right, red where wrong.
    """
    matrix = evaluation.get("confusion_matrix")
    if not matrix:
        return Text("there is no confusion matrix: this is no classifier")
    labels = [clean(str(label)) for label in matrix["labels"]]
    if len(labels) > MOST_CLASSES:
        return Text(f"the confusion matrix has {len(labels)} classes, too many to draw")
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column(Text("true ↓ predicted →", style="dim"), style="bold", justify="right", no_wrap=True)
    for label in labels:
        table.add_column(label, justify="right", no_wrap=True)
    for row, label in enumerate(labels):
        counts = matrix["counts"][row]
        total = sum(counts) or 1
        table.add_row(
            label, *(_cell(count, count / total, right=row == at) for at, count in enumerate(counts))
        )
    return table


def _cell(count: int, share: float, *, right: bool) -> Text:
    if count == 0:
        return Text("·", style="dim")
    depth = 60 + int(195 * min(1.0, share if right else share * 10))
    colour = f"rgb(0,{depth},0)" if right else f"rgb({depth},0,0)"
    return Text(str(count), style=Style.parse(f"bold {colour}"))
