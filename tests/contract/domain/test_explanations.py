"""Explain jobs: what is refused when it is submitted, and what their success leaves with the version."""

from __future__ import annotations

from typing import Any

import pytest

from domain import LEARNED, TRAIN, Domain, stored
from headrace.artifacts import service as artifacts
from headrace.artifacts.tables import Artifact
from headrace.errors import Invalid
from headrace.fsck import histories, rows
from headrace.registry import service as registry
from headrace.specs.task import Done

SIGNATURE = {
    "inputs": [
        {"name": "x", "type": "number"},
        {"name": "kind", "type": "category"},
        {"name": "at", "type": "timestamp"},
    ],
    "outputs": [
        {"name": "prediction", "type": "category"},
        *({"name": name, "type": "number"} for name in ("probability", "probability_a", "probability_b")),
    ],
}
TYPES = {"x": "number", "kind": "category", "at": "timestamp", "label": "category"}
EXPLAINED = Done(result={"rows": 10, "strongest": []}, outputs={})


def _dataset(domain: Domain, name: str, types: dict[str, str]) -> None:
    domain.upload(name, content=name)
    lease = domain.claim(lane="light")
    assert lease is not None
    columns = [{"name": column, "type": type, "nullable": False} for column, type in types.items()]
    files = {part: stored(name + part) for part in ("data", "profile", "rows")}
    domain.commit(lease, Done(result={"rows": 100, "columns": columns}, outputs={}), files)


@pytest.fixture
def versions(domain: Domain) -> Domain:
    """``net@1``, an mlp, and ``trees@1``, a forest, both from ``own@1``; ``more@1`` has the same columns."""
    _dataset(domain, "own", TYPES)
    _dataset(domain, "more", TYPES)
    for model, algorithm in (("net", "mlp"), ("trees", "random_forest")):
        lease = domain.running(spec=TRAIN | {"model": model, "dataset": "own", "algorithm": algorithm})
        domain.commit(lease, Done(result=LEARNED | {"signature": SIGNATURE}, outputs={}))
    return domain


def _submitted(domain: Domain, **spec: Any) -> dict[str, Any]:
    whole = {"model": "net", "dataset": "own", "method": "permutation"} | spec
    found: dict[str, Any] = domain.job(domain.submit(kind="explain", spec=whole)).spec
    return found


def test_defaults_are_filled_in_and_refs_pinned(versions: Domain) -> None:
    spec = _submitted(versions)
    assert (spec["model"], spec["dataset"], spec["part"], spec["rows"]) == ("net@1", "own@1", "test", 2000)
    spec = _submitted(versions, dataset="more", method="integrated_gradients")
    assert (spec["dataset"], spec["part"], spec["rows"]) == ("more@1", "all", 200)


def test_what_was_tested_on_a_fold_has_no_test_part(versions: Domain) -> None:
    _dataset(versions, "folded", TYPES)
    spec = TRAIN | {"model": "fold", "dataset": "folded", "algorithm": "mlp"}
    lease = versions.running(spec=spec | {"fold": {"folds": 5, "number": 0}})
    versions.commit(lease, Done(result=LEARNED | {"signature": SIGNATURE}, outputs={}))
    assert _submitted(versions, model="fold", dataset="folded")["part"] == "all"
    with pytest.raises(Invalid, match="should be all or null"):
        _submitted(versions, model="fold", dataset="folded", part="test")


def test_integrated_gradients_need_no_target(versions: Domain) -> None:
    _dataset(versions, "features", {name: type for name, type in TYPES.items() if name != "label"})
    assert _submitted(versions, dataset="features", method="integrated_gradients")
    with pytest.raises(Invalid, match="lacks what net@1 needs: 'label'"):
        _submitted(versions, dataset="features")


@pytest.mark.parametrize(
    ("spec", "loc", "words"),
    [
        (
            {"model": "trees", "method": "integrated_gradients"},
            ("method",),
            "random_forest, which has no gradients",
        ),
        ({"method": "shap"}, ("method",), "'permutation' or 'integrated_gradients'"),
        ({"dataset": "iris"}, ("dataset",), "lacks what net@1 needs: 'kind', 'at'"),
        ({"dataset": "nothing"}, ("dataset",), "no dataset 'nothing'"),
        ({"model": "net@7"}, ("model",), "no version 7"),
        (
            {"features": ["x", "label"]},
            ("features", 1),
            "'label' is no feature of the model; it has x, kind, at",
        ),
        ({"features": ["x", "x"]}, ("features", 1), "twice"),
        ({"features": []}, ("features",), "at least 1 item"),
        ({"partial_dependence": ["price"]}, ("partial_dependence", 0), "'price' is no feature"),
        ({"partial_dependence": ["at"]}, ("partial_dependence", 0), "'at' is of type timestamp"),
        ({"dataset": "more", "part": "test"}, ("part",), "net@1 was tested on rows of own@1 alone"),
        ({"label": "a"}, ("label",), "should be null"),
        ({"label": "c", "method": "integrated_gradients"}, ("label",), "'c' is no class; net@1 has a, b"),
        ({"features": ["x"], "method": "integrated_gradients"}, ("features",), "should be null"),
        ({"rows": 0}, ("rows",), "greater than or equal to 1"),
        ({"repeats": 1}, ("repeats",), "greater than or equal to 2"),
        ({"shuffles": 3}, ("shuffles",), "xtra"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_field(
    versions: Domain, spec: dict[str, Any], loc: tuple[str | int, ...], words: str
) -> None:
    with pytest.raises(Invalid) as refused:
        _submitted(versions, **spec)
    found = {error.loc: error.msg for error in refused.value.errors}
    assert list(found) == [("spec", *loc)]
    assert words in found["spec", *loc]


@pytest.mark.parametrize(
    ("train", "task", "spec", "loc", "words"),
    [
        (
            {"algorithm": "matrix_factorization", "params": {"user": "who", "item": "what"}, "target": None},
            "recommendation",
            {},
            ("model",),
            "has learned from clicks, and is measured by each user's list",
        ),
        (
            {"algorithm": "forecast", "params": {"time": "when"}, "target": "price", "features": []},
            "forecast",
            {},
            ("model",),
            "reads nothing but past values of its target: should have a feature",
        ),
        (
            {"algorithm": "forecast", "params": {"time": "when"}, "target": "price", "features": ["size"]},
            "forecast",
            {"features": ["size", "price"]},
            ("features", 1),
            "'price' is no feature of the model; it has who, what, size",
        ),
        (
            {"algorithm": "kmeans", "target": None, "features": ["price", "size"]},
            "clustering",
            {"partial_dependence": ["size"]},
            ("partial_dependence",),
            "a clustering, predicts has no mean",
        ),
        (
            {"algorithm": "pca", "target": None, "features": ["price", "size"]},
            "embedding",
            {"method": "integrated_gradients"},
            ("method",),
            "does embedding; integrated_gradients explains classification and regression",
        ),
        (
            {
                "algorithm": "matrix_factorization",
                "params": {"user": "who", "item": "what"},
                "target": "price",
                "features": [],
            },
            "recommendation",
            {"partial_dependence": ["who"]},
            ("partial_dependence", 0),
            "'who' says who or what",
        ),
    ],
)
def test_what_a_task_cannot_be_explained_by(
    domain: Domain,
    train: dict[str, Any],
    task: str,
    spec: dict[str, Any],
    loc: tuple[str | int, ...],
    words: str,
) -> None:
    types = {"who": "category", "what": "category", "when": "timestamp", "size": "number", "price": "number"}
    _dataset(domain, "shop", types)
    lease = domain.running(spec={"model": "m", "dataset": "shop", "task": task, "params": {}, **train})
    inputs = [{"name": name, "type": type} for name, type in types.items()]
    learned = LEARNED | {"task": task, "signature": SIGNATURE | {"inputs": inputs}}
    domain.commit(lease, Done(result=learned, outputs={}))
    with pytest.raises(Invalid) as refused:
        _submitted(domain, model="m", dataset="shop", **spec)
    found = {error.loc: error.msg for error in refused.value.errors}
    assert list(found) == [("spec", *loc)]
    assert words in found["spec", *loc]


def test_gradients_are_followed_to_one_input(versions: Domain) -> None:
    types = {"x": "number", "note": "text", "label": "category"}
    _dataset(versions, "notes", types)
    inputs = [{"name": name, "type": types[name]} for name in ("x", "note")]
    lease = versions.running(spec=TRAIN | {"model": "both", "dataset": "notes", "algorithm": "text_cnn"})
    versions.commit(lease, Done(result=LEARNED | {"signature": SIGNATURE | {"inputs": inputs}}, outputs={}))
    assert _submitted(versions, model="both", dataset="notes")
    with pytest.raises(Invalid, match="both@1 reads text and table; integrated_gradients follows one input"):
        _submitted(versions, model="both", dataset="notes", method="integrated_gradients")


def test_an_explanation_is_found_from_its_version_and_goes_with_it(versions: Domain) -> None:
    domain, jobs = versions, []
    for method in ("permutation", "integrated_gradients"):
        lease = domain.running(kind="explain", spec={"model": "net", "dataset": "own", "method": method})
        domain.commit(lease, EXPLAINED, {"explanation": stored(method)})
        jobs.append(lease.job)
        assert domain.job(lease.job).result == {"method": method, **EXPLAINED.result}
    with domain.db.read() as session:
        version = registry.version(session, "default", "net", 1)
        page = registry.explanations(session, version, limit=1)
        assert [(row.job, row.method, row.dataset) for row in page.items] == [(jobs[1], method, "own@1")]
        page = registry.explanations(session, version, limit=1, cursor=page.next_cursor)
        assert ([row.job for row in page.items], page.next_cursor) == ([jobs[0]], None)
        other = registry.version(session, "default", "trees", 1)
        assert registry.explanations(session, other, limit=9).items == []
        assert artifacts.needed(session, [stored(each).digest for each in ("permutation", method)]) != set()
        assert [*rows.owners(session), *histories.page(session, "")[0]] == []
    domain.do(registry.delete_version, "default", "net", 1, now=domain.now)
    assert domain.dump()["model_explanations"] == []
    with domain.db.read() as session:
        assert artifacts.artifact(session, jobs[0], "explanation") == stored("permutation")


def test_fsck_misses_an_explanation(versions: Domain) -> None:
    lease = versions.running(kind="explain", spec={"model": "net", "dataset": "own", "method": "permutation"})
    versions.commit(lease, EXPLAINED, {"explanation": stored("e")})
    with versions.db.transaction() as session:
        session.delete(session.get_one(Artifact, (lease.job, "explanation")))
    with versions.db.read() as session:
        (finding,) = histories.page(session, "")[0]
    assert (finding.object, finding.message) == (lease.job, "is succeeded and has no explanation")
