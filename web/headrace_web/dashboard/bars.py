"""Horizontal bars as SVG, laid out here and drawn by a template: a value each, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, STEP, THICK, TOP = 480, 24, 12, 8
LABELS, NUMBERS = 170, 60
MOST = 30
"""Bars that are drawn at most."""


@dataclass(frozen=True)
class Bar:
    """One bar, in pixels; ``ends`` are those of its interval."""

    label: str
    value: float
    y: float
    x: float
    width: float
    ends: tuple[float, float] | None

    @property
    def against(self) -> bool:
        """Whether the value is below zero."""
        return self.value < 0


@dataclass(frozen=True)
class Bars:
    """Bars over one axis, with zero at ``zero``; ``left_out`` are how many are not drawn."""

    title: str
    note: str
    bars: Sequence[Bar]
    zero: float
    left_out: int

    @property
    def height(self) -> float:
        """The picture's height."""
        return TOP + STEP * len(self.bars)


def lay_out(
    title: str, note: str, entries: Sequence[tuple[str, float, Sequence[float] | None]]
) -> Bars | None:
    """Return bars for ``entries``: label, value, and the ends of an interval. None where there is none."""
    shown = entries[:MOST]
    if not shown:
        return None
    every = [0.0, *(value for _, value, _ in shown), *(end for _, _, ends in shown for end in ends or ())]
    low, high = min(every), max(every)
    scale = (WIDTH - LABELS - NUMBERS) / ((high - low) or 1.0)

    def at(value: float) -> float:
        return round(LABELS + (value - low) * scale, 1)

    bars = [
        Bar(
            label=label,
            value=value,
            y=TOP + STEP * i,
            x=min(at(value), at(0.0)),
            width=round(abs(at(value) - at(0.0)), 1),
            ends=(at(ends[0]), at(ends[1])) if ends else None,
        )
        for i, (label, value, ends) in enumerate(shown)
    ]
    return Bars(title, note, bars, at(0.0), len(entries) - len(shown))
