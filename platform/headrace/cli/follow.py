"""Showing a job while it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from headrace.cli.output import STATE_STYLES, clean, print_json_line

if TYPE_CHECKING:
    from headrace.client import Client
    from headrace.client.types import Event, Job

EXIT_STATUS = {"succeeded": 0, "failed": 1, "cancelled": 3}


class Follower:
    """Prints events as they come: states, learning curves, log lines; a bar shows progress on a terminal.

    ``details`` False leaves only states and the bar. Use it as a context manager.
    """

    def __init__(self, *, details: bool = True, console: Console | None = None) -> None:
        self._details = details
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._message = ""
        self._step: int | None = None
        self._metrics: list[str] = []

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._flush_metrics()
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        data = event["data"]
        if event["type"] == "metric":
            self._on_metric(data)
            return
        if event["type"] == "progress":
            self._on_progress(data)
            return
        self._flush_metrics()
        if event["type"] == "state":
            self._on_state(event)
        elif self._details:
            for line in str(data.get("text", "")).splitlines():
                self._console.print(Text.assemble(("  │ ", "dim"), clean(line)))

    def _on_state(self, event: Event) -> None:
        state = str(event["data"].get("state", ""))
        reason = event["data"].get("reason") or event["data"].get("message") or ""
        line = Text.assemble((f"{event['at'][11:19]} ", "dim")).append(state, STATE_STYLES.get(state, "bold"))
        if event["attempt"] > 1:
            line.append(f" (attempt {event['attempt']})", "dim")
        if reason:
            line.append(f"  {clean(str(reason))}")
        self._console.print(line)

    def _on_progress(self, data: dict[str, Any]) -> None:
        message = clean(str(data.get("message", "")))
        if self._bar.disable:
            # Without a bar, a line for each new thing that it does says as much.
            if message and message != self._message and self._details:
                self._flush_metrics()
                self._console.print(f"  {float(data['fraction']):4.0%}  {message}", markup=False)
        elif self._task is None:
            self._task = self._bar.add_task(message, total=1.0, completed=data["fraction"])
        else:
            self._bar.update(self._task, description=message, completed=data["fraction"])
        self._message = message

    def _on_metric(self, data: dict[str, Any]) -> None:
        if data["step"] != self._step:
            self._flush_metrics()
            self._step = data["step"]
        self._metrics.append(f"{clean(data['name'])} {data['value']:.4g}")

    def _flush_metrics(self) -> None:
        """Print the values of one step on one line, once they are all there."""
        if self._metrics and self._details:
            self._console.print(Text.assemble((f"  epoch {self._step}  ", "cyan"), "  ".join(self._metrics)))
        self._metrics = []


def follow(client: Client, job_id: str, *, details: bool, as_json: bool, timeout_s: float | None) -> Job:
    """Wait for a job, showing what it does, and return it in its final state.

    With ``as_json`` and ``details`` each event is printed as a line of JSON.
    """
    if as_json:
        return client.wait(job_id, timeout_s=timeout_s, on_event=print_json_line if details else None)
    with Follower(details=details, console=Console(file=sys.stdout, highlight=False, soft_wrap=True)) as show:
        return client.wait(job_id, timeout_s=timeout_s, on_event=show)
