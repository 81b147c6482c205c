"""Learning without labels, as it is submitted: what is taken, what is refused, and samples asked for."""

from __future__ import annotations

from typing import Any

import pytest

from domain import LEARNED, TRAIN, Domain, stored
from headrace.errors import Invalid
from headrace.specs.task import Done

TYPES = {
    "x": "number",
    "y": "number",
    "face": "image",
    "back": "image",
    "label": "category",
    "odd": "boolean",
    "when": "timestamp",
}
SIGNATURE = {"inputs": [{"name": "x", "type": "number"}], "outputs": [{"name": "cluster", "type": "integer"}]}


@pytest.fixture
def things(domain: Domain) -> Domain:
    """``things@1``, a dataset, and versions of ``net`` (a vae's embedding) and ``groups`` (kmeans) on it."""
    domain.upload("things", content="things")
    lease = domain.claim(lane="light")
    assert lease is not None
    columns = [{"name": name, "type": type, "nullable": False} for name, type in TYPES.items()]
    files = {part: stored(part) for part in ("data", "profile", "rows")}
    domain.commit(lease, Done(result={"rows": 100, "columns": columns}, outputs={}), files)
    for model, name, task in (("net", "vae", "embedding"), ("groups", "kmeans", "clustering")):
        spec = {"model": model, "dataset": "things", "algorithm": name, "features": ["x"]}
        learned = LEARNED | {"task": task, "signature": SIGNATURE}
        domain.commit(domain.running(spec=spec), Done(result=learned, outputs={}))
    return domain


def _train(domain: Domain, **spec: Any) -> dict[str, Any]:
    whole = {"model": "m", "dataset": "things", "features": ["x", "y"]} | spec
    found: dict[str, Any] = domain.job(domain.submit(spec=whole)).spec
    return found


def test_no_target_is_needed(things: Domain) -> None:
    spec = _train(things, algorithm="kmeans")
    assert (spec["target"], spec["task"]) == (None, "clustering")
    assert _train(things, algorithm="pca")["task"] == "embedding"
    assert _train(things, algorithm="pca", task="anomaly")["task"] == "anomaly"


def test_a_target_with_labels_is_for_what_it_can_evaluate(things: Domain) -> None:
    spec = _train(things, algorithm="vae", target="odd")
    assert (spec["target"], spec["task"]) == ("odd", "anomaly")
    assert _train(things, algorithm="kmeans", target="label", features=["x"])["features"] == ["x"]


@pytest.mark.parametrize(
    ("spec", "loc", "reason"),
    [
        ({"algorithm": "mlp"}, ("target",), "needs one"),
        ({"algorithm": "mlp", "task": "clustering"}, ("task",), "mlp does classification or regression"),
        ({"algorithm": "kmeans", "target": "when"}, ("target",), "'when' is a timestamp column"),
        (
            {"algorithm": "pca", "task": "embedding", "target": "label"},
            ("target",),
            "no target for embedding",
        ),
        ({"algorithm": "kmeans", "params": {"clusters": 1}}, ("params", "clusters"), "greater than or equal"),
        ({"algorithm": "pca", "params": {"contamination": 0.1}}, ("params", "contamination"), "no threshold"),
        ({"algorithm": "vae", "params": {"loss": "mse"}}, ("params", "loss"), "should be null"),
        ({"algorithm": "pca", "features": ["face", "back"]}, ("features",), "one image or audio column"),
        ({"algorithm": "pca", "features": None}, ("features",), "one image or audio column"),
        ({"algorithm": "pca", "features": []}, ("features",), "needs one at least"),
    ],
)
def test_what_does_not_go_is_refused(
    things: Domain, spec: dict[str, Any], loc: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(Invalid) as caught:
        _train(things, **spec)
    found = {error.loc: error.msg for error in caught.value.errors}
    assert reason in found[("spec", *loc)]


def test_samples_are_asked_for_without_a_dataset(things: Domain) -> None:
    job = things.submit(kind="predict", spec={"model": "net", "sample": {"rows": 10}})
    spec = things.job(job).spec
    assert (spec["model"], spec["dataset"], spec["sample"]) == ("net@1", None, {"rows": 10, "seed": 0})
    lease = things.claim()
    assert lease is not None
    assert lease.job == job


@pytest.mark.parametrize(
    ("spec", "loc", "reason"),
    [
        ({"model": "net"}, ("dataset",), "should name a dataset"),
        ({"model": "net", "dataset": "things", "sample": {"rows": 1}}, ("dataset",), "should be null"),
        ({"model": "groups", "sample": {"rows": 1}}, ("sample",), "only from a vae"),
        ({"model": "net", "sample": {"rows": 1}, "columns": ["y"]}, ("columns", 0), "no column 'y'"),
        ({"model": "net", "sample": {"rows": 1}, "keep": ["x"]}, ("keep",), "should be empty"),
        ({"model": "net", "sample": {"rows": 0}}, ("sample", "rows"), "greater than or equal"),
    ],
)
def test_samples_that_cannot_be_drawn(
    things: Domain, spec: dict[str, Any], loc: tuple[str | int, ...], reason: str
) -> None:
    with pytest.raises(Invalid) as caught:
        things.submit(kind="predict", spec=spec)
    found = {error.loc: error.msg for error in caught.value.errors}
    assert reason in found[("spec", *loc)]


def test_what_has_no_target_is_evaluated_and_explained_by_what_it_is_evaluated_by(things: Domain) -> None:
    things.submit(kind="evaluate", spec={"model": "groups", "dataset": "things"})
    things.submit(kind="explain", spec={"model": "groups", "dataset": "things", "method": "permutation"})
    with pytest.raises(Invalid) as caught:
        things.submit(
            kind="explain", spec={"model": "groups", "dataset": "things", "method": "partial_dependence"}
        )
    assert [error.loc for error in caught.value.errors] == [("spec", "method")]


def test_a_classifier_is_trained_as_before(things: Domain) -> None:
    spec = _train(things, algorithm=TRAIN["algorithm"], target="label")
    assert spec["task"] == "classification"
