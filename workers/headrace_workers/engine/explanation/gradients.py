"""Integrated gradients (Sundararajan, Taly, Yan 2017, Axiomatic attribution for deep networks)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.explanation.opened import POINTS, Opened

TOLERANCE = 0.05
"""What the parts may miss of the whole, as a share of it: the paper's."""

NEGLIGIBLE = 1e-3
"""What they may miss at least, where the whole is next to nothing."""

MAX_DOUBLINGS = 3


@dataclass(frozen=True)
class Integral:
    """What each number of one row adds to the output, from ``baseline`` to ``output``.

    ``error``: by how much the sum of ``parts`` misses their difference, after so many ``steps``.
    """

    parts: NDArray[np.float64]
    output: float
    baseline: float
    error: float
    steps: int


def integrate(
    network: Opened, baseline: NDArray[np.float32], row: NDArray[Any], output: int, steps: int
) -> Integral:
    """Return what each number of ``row`` adds to ``output``, by the Gauss-Legendre rule at ``steps`` points.

    By completeness (the paper's proposition 1) the parts add up to the difference of the outputs. Where they
    miss it by more than `TOLERANCE`, there are twice as many steps, at most `MAX_DOUBLINGS` times; the best
    of these is returned.
    """
    end = network.embed(row[None])[0]
    way = (end - baseline).astype(np.float32)
    ends = network.values(np.stack([baseline, end]), row, output)
    whole = float(ends[1] - ends[0])
    best: Integral | None = None
    for doublings in range(MAX_DOUBLINGS + 1):
        count = steps * 2**doublings
        parts = way.astype(np.float64) * _mean_slope(network, baseline, way, row, output, count)
        error = abs(float(parts.sum()) - whole)
        if best is None or error < best.error:
            best = Integral(parts, float(ends[1]), float(ends[0]), error, count)
        if error <= TOLERANCE * abs(whole) + NEGLIGIBLE:
            break
    assert best is not None, "there is at least one try"
    return best


def _mean_slope(
    network: Opened,
    baseline: NDArray[np.float32],
    way: NDArray[np.float32],
    row: NDArray[Any],
    output: int,
    steps: int,
) -> NDArray[np.float64]:
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    shares, lengths = ((nodes + 1) / 2).astype(np.float32), (weights / 2).astype(np.float32)
    total = np.zeros(way.shape, np.float64)
    for start in range(0, steps, POINTS):
        some = shares[start : start + POINTS].reshape(-1, *[1] * way.ndim)
        total += network.slope(baseline + some * way, lengths[start : start + POINTS], row, output)
    return total
