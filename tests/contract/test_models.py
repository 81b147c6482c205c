"""Models: versions, aliases, comparison, deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.api import Api

Problem = Callable[..., dict[str, Any]]


@pytest.fixture
def models(api: Api) -> Api:
    """Model ``iris`` with the versions 1 and 2."""
    api.ready_dataset()
    api.model_version(accuracy=0.8)
    api.model_version(accuracy=0.9, f1_macro=0.7)
    return api


def test_a_model_and_its_versions(models: Api, problem: Problem) -> None:
    model = models.get("models/iris").json
    assert (model["name"], model["latest_version"], model["aliases"]) == ("iris", 2, {})
    version = models.get("models/iris/versions/2").json
    assert version["metrics"] == {"accuracy": 0.9, "f1_macro": 0.7}
    assert {"created_at", "job", "algorithm", "params", "signature", "lineage", "weights_digest"} <= set(
        version
    )
    assert {"digest", "size_bytes", "aliases"} <= set(version)
    assert [row["version"] for row in models.get("models/iris/versions").json["items"]] == [2, 1]
    problem(models.get("models/iris/versions/3"), 404)
    problem(models.get("models/rose"), 404)
    problem(models.get("models/rose/versions"), 404)


def test_an_alias_moves_in_one_step(models: Api, problem: Problem) -> None:
    put = models.call("PUT", "models/iris/aliases/champion", json={"version": 1})
    assert (put.status_code, put.json) == (200, {"model": "iris", "alias": "champion", "version": 1})
    assert models.get("models/iris").json["aliases"] == {"champion": 1}
    assert models.get("models/iris/versions/1").json["aliases"] == ["champion"]
    models.call("PUT", "models/iris/aliases/champion", json={"version": 2})
    assert models.get("models/iris/aliases/champion").json["version"] == 2
    assert models.get("models/iris/versions/1").json["aliases"] == []
    assert models.call("DELETE", "models/iris/aliases/champion").status_code == 204
    problem(models.get("models/iris/aliases/champion"), 404)
    problem(models.call("DELETE", "models/iris/aliases/champion"), 404)


@pytest.mark.parametrize(
    ("path", "body", "status", "loc"),
    [
        ("iris/aliases/champion", {"version": 3}, 422, ["version"]),
        ("iris/aliases/champion", {"version": "1"}, 422, ["version"]),
        ("iris/aliases/champion", {"version": 1, "force": True}, 422, ["force"]),
        ("iris/aliases/champion", {}, 422, ["version"]),
        ("iris/aliases/Champion", {"version": 1}, 422, ["path", "alias"]),
        ("iris/aliases/2", {"version": 1}, 422, ["path", "alias"]),
        ("rose/aliases/champion", {"version": 1}, 404, []),
    ],
)
def test_a_wrong_alias(
    models: Api, problem: Problem, path: str, body: dict[str, Any], status: int, loc: list[str]
) -> None:
    before = models.footprint()
    problem(models.call("PUT", f"models/{path}", json=body), status, *loc)
    assert models.footprint() == before


def test_if_match_moves_an_alias_only_as_it_was_read(models: Api, problem: Problem) -> None:
    path = "models/iris/aliases/champion"
    problem(models.call("PUT", path, json={"version": 1}, headers={"If-Match": "*"}), 412)
    etag = models.call("PUT", path, json={"version": 1}).headers["ETag"]
    assert models.get(path).headers["ETag"] == etag
    moved = models.call("PUT", path, json={"version": 2}, headers={"If-Match": etag})
    assert moved.status_code == 200
    assert moved.headers["ETag"] != etag
    for stale in (etag, '"other"', f"W/{moved.headers['ETag']}"):
        problem(models.call("PUT", path, json={"version": 1}, headers={"If-Match": stale}), 412)
        problem(models.call("DELETE", path, headers={"If-Match": stale}), 412)
    assert models.get(path).json["version"] == 2
    assert models.call("DELETE", path, headers={"If-Match": "*"}).status_code == 204


def test_versions_side_by_side(models: Api, problem: Problem) -> None:
    found = models.get("models/iris/compare?versions=2,1").json
    assert [row["version"] for row in found["versions"]] == [2, 1]
    assert found["versions"][1]["metrics"] == {"accuracy": 0.8}
    assert found["differing_metrics"] == ["accuracy", "f1_macro"]
    assert found["differing_params"] == []
    problem(models.get("models/iris/compare?versions=1,3"), 404)
    for wrong in ("", "?versions=", "?versions=1,", "?versions=1,1", "?versions=a", "?versions=1&versions=2"):
        problem(models.get(f"models/iris/compare{wrong}"), 422, "query", "versions")


def test_a_version_with_an_alias_is_kept(models: Api, problem: Problem) -> None:
    models.call("PUT", "models/iris/aliases/champion", json={"version": 2})
    problem(models.call("DELETE", "models/iris/versions/2"), 409)
    models.call("DELETE", "models/iris/aliases/champion")
    assert models.call("DELETE", "models/iris/versions/2").status_code == 204
    problem(models.get("models/iris/versions/2"), 404)
    assert models.get("models/iris").json["latest_version"] == 1
    models.model_version()
    assert models.get("models/iris").json["latest_version"] == 3


def test_algorithms(models: Api, problem: Problem) -> None:
    found = models.get("algorithms").json["items"]
    assert {"cnn", "mlp", "random_forest"} <= {row["name"] for row in found}
    for row in found:
        assert row["params"]["type"] == "object"
        assert row["tasks"]
    assert models.get("algorithms/mlp").json["name"] == "mlp"
    problem(models.get("algorithms/none"), 404)
