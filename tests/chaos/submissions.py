"""What the client asks for: jobs of every sort, drawn by a seed, each with how it has to end."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.ledger import CANCELLED, FAILED, SUCCEEDED, TAG, Entry
from chaos.undisturbed import Undisturbed

MOST_ATTEMPTS = 100
"""Faults may take any job's worker, again and again: only what spends its attempts by itself may fail."""
TABLE, BASE, CAPPED = "table", "base", "capped"
CSV = "x,label\n" + "".join(f"{n}.5,{'ab'[n % 2]}\n" for n in range(60))
SORTS = {
    "walk": 54,
    "tune": 2,
    "capped": 6,
    "chain": 5,
    "cancel": 6,
    "predict": 10,
    "upload": 6,
    "child": 6,
    "poison": 3,
    "refuse": 2,
}
"""How many in a hundred. ``capped``: in a project with a quota; ``chain``: two, one depends on the other;
``tune``: three trials, of which one is kept; ``child``: it leaves a process behind; ``poison``: it kills its
process each time; ``refuse``: it cannot run.
"""
TRAIN = {"model": BASE, "dataset": f"{TABLE}@1", "algorithm": "walk", "target": "label"}


@dataclass(kw_only=True)
class Request:
    """One submission: a job's ``body``, or a ``file`` to upload. ``after``: the job that it depends on.

    ``sent``: it was, once at least. It is cancelled ``cancel_after_s`` after the answer, ``cancelling`` from
    then on.
    """

    entry: Entry
    body: dict[str, Any] = field(default_factory=dict)
    file: bytes | None = None
    after: Entry | None = None
    cancel_after_s: float | None = None
    sent: bool = False
    cancelling: bool = False


def draw(rng: random.Random, undisturbed: Undisturbed, predicted: str) -> Iterator[Request]:
    """Yield requests without end. ``predicted`` is the digest of what `BASE` says of `TABLE`."""
    for number in itertools.count():
        sort = rng.choices(list(SORTS), list(SORTS.values()))[0]
        yield from _of(sort, f"k{number:05}", rng, undisturbed, predicted)


def networks(rng: random.Random, learned: Mapping[int, str]) -> Iterator[Request]:
    """Yield trainings of networks without end; ``learned``: the digest that each seed led to undisturbed."""
    for number in itertools.count():
        key, seed = f"n{number:05}", rng.choice(list(learned))
        entry = Entry(key=key, weights=learned[seed], own_s=10.0)
        yield Request(entry=entry, body=_job("train", network(seed), key, rng))


def network(seed: int) -> dict[str, Any]:
    """Return the spec of a training that takes some seconds."""
    params = {"epochs": 30, "batch_size": 4, "dropout": 0.2}
    return TRAIN | {"model": "network", "algorithm": "mlp", "seed": seed, "params": params}


def _of(
    sort: str, key: str, rng: random.Random, undisturbed: Undisturbed, predicted: str
) -> Iterator[Request]:
    if sort in ("walk", "chain", "cancel", "capped"):
        walk = _walk(key, rng, undisturbed, sort)
        yield walk
        if sort == "chain":
            spec = {"model": f"own-{key}", "dataset": f"{TABLE}@1"}
            entry = Entry(key=f"{key}-next", kind="predict", result={"rows": 60}, own_s=0.2)
            yield Request(entry=entry, body=_job("predict", spec, entry.key, rng), after=walk.entry)
    elif sort == "tune":
        yield _tune(key, rng)
    elif sort in ("child", "poison", "refuse"):
        yield _scripted(key, rng, undisturbed, sort)
    elif sort == "predict":
        spec = {"model": f"{BASE}@1", "dataset": f"{TABLE}@1"}
        entry = Entry(key=key, kind="predict", result={"rows": 60, "digest": predicted}, own_s=0.2)
        yield Request(entry=entry, body=_job("predict", spec, key, rng))
    else:
        content = f"{CSV}{rng.random()},a\n".encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        entry = Entry(key=key, kind="ingest", source=digest, result={"rows": 61}, own_s=0.2)
        # An upload's job has three attempts, and faults may take them all.
        entry.ends = frozenset({SUCCEEDED, FAILED})
        yield Request(entry=entry, file=content)


def _walk(key: str, rng: random.Random, undisturbed: Undisturbed, sort: str) -> Request:
    seed, steps = rng.randrange(2**32), rng.randrange(5, 40)
    step_s = round(rng.uniform(0.005, 0.05), 3)
    project = CAPPED if sort == "capped" else "default"
    entry = Entry(key=key, weights=undisturbed.walk(seed, steps), own_s=steps * step_s + 0.2, project=project)
    model = f"own-{key}" if sort == "chain" else f"model-{rng.randrange(8)}"
    if project == CAPPED:
        model = "capped"
    cancel_after_s = None
    if sort == "cancel":
        # Long enough that only cancelling ends it.
        step_s, cancel_after_s = 60.0, rng.uniform(0.0, 3.0)
        entry.ends = frozenset({CANCELLED})
    spec = TRAIN | {"model": model, "seed": seed, "params": {"steps": steps, "step_s": step_s}}
    return Request(entry=entry, body=_job("train", spec, key, rng), cancel_after_s=cancel_after_s)


def _tune(key: str, rng: random.Random) -> Request:
    spec = {
        "train": TRAIN | {"model": "tuned", "algorithm": "scripted", "params": {"seconds": 0.2}},
        "space": {"params.share": {"choices": [0.1, 0.5, 0.9]}},
        "metric": "log_loss",
        "sampler": "grid",
    }
    entry = Entry(key=key, kind="tune", result={"model": "tuned", "metric": "log_loss"}, own_s=2.0)
    return Request(entry=entry, body=_job("tune", spec, key, rng))


def _scripted(key: str, rng: random.Random, undisturbed: Undisturbed, sort: str) -> Request:
    """A job that leaves a process behind, one that kills its own process each time, or one that refuses."""
    then = {"child": "succeed", "poison": "kill", "refuse": "refuse"}[sort]
    params = {"seconds": 0.2, "child": sort == "child", "then": then}
    entry = Entry(key=key, own_s=0.5)
    if sort == "child":
        entry.weights = undisturbed.scripted()
    else:
        entry.ends = frozenset({FAILED})
    spec = TRAIN | {"model": "scripted", "algorithm": "scripted", "params": params}
    body = _job("train", spec, key, rng)
    if sort == "poison":
        body["max_attempts"] = 3
    return Request(entry=entry, body=body)


def _job(kind: str, spec: dict[str, Any], key: str, rng: random.Random) -> dict[str, Any]:
    return {
        "kind": kind,
        "spec": spec,
        "priority": rng.randrange(10),
        "max_attempts": MOST_ATTEMPTS,
        "tags": {TAG: key},
    }
