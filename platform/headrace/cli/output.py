"""How things are shown: JSON for programs, tables and lines for people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 10_000
STATE_STYLES = {
    "succeeded": "green",
    "ready": "green",
    "failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "ingesting": "cyan",
}
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def console() -> Console:
    """Return where people read. Made when needed, since it looks at the terminal; a pipe has room for all."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(highlight=False, soft_wrap=True, width=width)


def print_json(value: Any) -> None:
    """Print one JSON document on one or more lines."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """Print one JSON document on one line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, flexible: Sequence[str] = ()
) -> None:
    """Print rows under ``columns``; ``empty`` where there are none.

    Where the terminal is too narrow, the ``flexible`` columns are folded.
    """
    shown = [[text(cell) for cell in row] for row in rows]
    out = console()
    if not shown:
        out.print(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column not in flexible, overflow="fold")
    for row in shown:
        table.add_row(*row)
    out.print(table, soft_wrap=False)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one pair a line; pairs without a value are left out."""
    shown = {name: value for name, value in fields.items() if value not in (None, "", {}, [])}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        console().print(Text.assemble((f"{name:<{width}}  ", "bold"), text(value)))


def text(value: object) -> Text:
    """Return ``value`` as people read it. What came from elsewhere cannot steer the terminal."""
    if value is None:
        return Text("")
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    if isinstance(value, (dict, list)):
        return Text(json.dumps(value, ensure_ascii=False))
    plain = clean(str(value))
    return Text(plain, style=STATE_STYLES.get(plain, ""))


def clean(line: str) -> str:
    """Return ``line`` without control characters, which could steer a terminal."""
    return _UNSAFE.sub("\ufffd", line)


def time_of(timestamp: str | None) -> str:
    """Return an API time for people: UTC, to the second."""
    return (timestamp or "")[:19].replace("T", " ")


def short_time_of(timestamp: str) -> str:
    """Return an API time for narrow tables: UTC, to the minute, without the year."""
    return timestamp[5:16].replace("T", " ")


def size(count: int | None) -> str:
    """Return a number of bytes for people."""
    amount = float(count or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
