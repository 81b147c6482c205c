"""The deterministic loop beside Keras' own `fit`, epoch by epoch, and what checkpoints cost it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.data import Mnist
from rich.console import Console
from rich.table import Table

SCRIPT = Path(__file__).resolve().parent / "peers" / "epochs.py"
EPOCHS = 3
LARGEST_RATIO = 0.75
LARGEST_COST = 0.05
ACCURACY_NOISE = 0.01


def compare_loops(data: Mnist, rounds: int) -> list[str]:
    """Run both loops in turn, print a table, and return what does not hold.

    The first epoch of each includes tracing and is left out.
    """
    table = Table(title=f"One epoch of {data.train_rows:,} rows, and what a checkpoint a second costs")
    for column in ("round", "fit s", "ours s", "ours ÷ fit", "accuracy of fit", "ours", "checkpoints"):
        table.add_column(column, justify="right")
    ratios, costs, accuracies = [], [], []
    for number in range(1, rounds + 1):
        fit, ours = _run("plain", data), _run("headrace", data)
        fit_s, ours_s = (statistics.median(run["epochs_s"][1:]) for run in (fit, ours))
        ratios.append(ours_s / fit_s)
        costs.append(ours["checkpoints_s"] / sum(ours["epochs_s"]))
        accuracies.append((fit["accuracy"], ours["accuracy"]))
        table.add_row(
            str(number),
            f"{fit_s:.2f}",
            f"{ours_s:.2f}",
            f"{ratios[-1]:.2f}",
            f"{fit['accuracy']:.4f}",
            f"{ours['accuracy']:.4f}",
            f"{ours['checkpoints']}: {costs[-1]:.1%}",
        )
    ratio, cost = statistics.median(ratios), statistics.median(costs)
    table.add_row("median", "", "", f"{ratio:.2f}", "", "", f"{cost:.1%}")
    Console().print(table)
    missed = []
    if ratio > LARGEST_RATIO:
        missed.append(f"an epoch took {ratio:.2f} of Keras' fit, not {LARGEST_RATIO}")
    if cost > LARGEST_COST:
        missed.append(f"checkpoints took {cost:.1%} of the run, not {LARGEST_COST:.0%}")
    plain, deterministic = (statistics.mean(column) for column in zip(*accuracies, strict=True))
    if abs(plain - deterministic) > ACCURACY_NOISE:
        missed.append(f"the accuracies {plain:.4f} and {deterministic:.4f} differ")
    return missed


def _run(loop: str, data: Mnist) -> Any:
    command = [sys.executable, SCRIPT, loop, data.arrays, str(EPOCHS)]
    return json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL))
