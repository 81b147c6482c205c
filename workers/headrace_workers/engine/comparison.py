"""A version and what training it again came to: the same to the bit, or what differs, where, by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.specs.jobs import TrainSpec
from headrace_workers.engine import package
from headrace_workers.engine.algorithms.base import Arrays
from headrace_workers.engine.package import Package
from headrace_workers.engine.predictor import Predictor

MAX_SHOWN = 50
"""Differences and arrays that are told one by one."""

MAX_TEXT = 200


def compare(
    original: Package,
    again: Predictor,
    *,
    environment: Mapping[str, Any],
    lineage: Mapping[str, Any],
    rows: Mapping[str, int],
    spec: TrainSpec,
) -> dict[str, Any]:
    """Return the verdict as plain JSON.

    ``identical``: equal ``weights_digest``, preprocessing and target, all that predictions depend on.
    ``expected_weights_digest`` is that of the version. ``differences``: what differs around the training and
    in what was fitted before it, in words; there may be some where all is identical. ``arrays``: those that
    differ, in the order of the model, each with ``name``, ``values`` (how many it has), ``differing`` (how
    many of them differ) and ``largest`` (the largest absolute difference; None where shapes differ).
    """
    then, manifest = original.predictor, original.manifest
    digest = package.weights_digest(again.learned())
    fitted = [*_changes(_fitted(then), _fitted(again), "")]
    around = [
        *_changes(
            {"seed": manifest.seed, "params": manifest.params},
            {"seed": spec.seed, "params": spec.params},
            "",
        ),
        *_changes(manifest.lineage, lineage, "lineage."),
        *_changes(manifest.rows, rows, "rows."),
        *_changes(manifest.environment, environment, "environment."),
    ]
    arrays = [*_array_changes(then.learned(), again.learned())]
    return {
        "identical": digest == manifest.weights_digest and not fitted,
        "weights_digest": digest,
        "expected_weights_digest": manifest.weights_digest,
        "differences": _shown([*around, *fitted]),
        "arrays": arrays[:MAX_SHOWN],
        "differing_arrays": len(arrays),
    }


def _fitted(predictor: Predictor) -> dict[str, Any]:
    columns = {
        f"column {encoder['column']!r}": encoder
        for encoder in predictor.preprocessing.model_dump(mode="json")["encoders"]
    }
    return columns | {"target": predictor.target.model_dump(mode="json")}


def _changes(then: Any, now: Any, path: str) -> Iterator[str]:
    """Yield what differs between two values of JSON, in words, each by the path to it."""
    if then == now:
        return
    name = path.rstrip(".")
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            if key not in now:
                yield f"{path}{key}: {_text(then[key])} then, gone now"
            elif key not in then:
                yield f"{path}{key}: not there then, {_text(now[key])} now"
            else:
                yield from _changes(then[key], now[key], f"{path}{key}.")
    elif _are_texts(then) and _are_texts(now) and set(then) != set(now):
        lost, new = sorted(set(then) - set(now)), sorted(set(now) - set(then))
        parts = [f"without {', '.join(lost)}"] * bool(lost) + [f"with {', '.join(new)}"] * bool(new)
        yield f"{name}: {' and '.join(parts)} now"[:MAX_TEXT]
    else:
        yield f"{name}: {_text(then)} then, {_text(now)} now"


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _shown(differences: list[str]) -> list[str]:
    more = len(differences) - MAX_SHOWN
    return differences if more <= 0 else [*differences[:MAX_SHOWN], f"and {more} more"]


def _array_changes(then: Arrays, now: Arrays) -> Iterator[dict[str, Any]]:
    for name in {**then, **now}:
        if name not in then or name not in now:
            values = (then if name in then else now)[name].size
            yield {"name": name, "values": values, "differing": values, "largest": None}
        else:
            changed = _array_change(then[name], now[name])
            if changed is not None:
                yield {"name": name, **changed}


def _array_change(then: NDArray[Any], now: NDArray[Any]) -> dict[str, Any] | None:
    if (then.dtype, then.shape) != (now.dtype, now.shape):
        return {"values": then.size, "differing": then.size, "largest": None}
    if then.tobytes() == now.tobytes():
        return None
    # By bytes, so that 0.0 and -0.0 differ, and a NaN equals itself.
    width = max(then.dtype.itemsize, 1)
    bytes_then, bytes_now = (
        np.frombuffer(array.tobytes(), np.uint8).reshape(-1, width) for array in (then, now)
    )
    differing = int((bytes_then != bytes_now).any(axis=1).sum())
    largest = None
    if np.issubdtype(then.dtype, np.number):
        apart = np.abs(then.astype(np.float64) - now.astype(np.float64))
        largest = float(np.nanmax(apart, initial=0.0))
    finite = largest is not None and np.isfinite(largest)
    return {"values": then.size, "differing": differing, "largest": largest if finite else None}
