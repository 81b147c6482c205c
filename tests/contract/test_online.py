"""Online prediction as the API shows it: in front of a serving process, a broken one, and none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Listener
from typing import Any

import pytest

from contract.api import Api
from headrace import online

Problem = Callable[..., dict[str, Any]]
INSTANCES = {"instances": [{"id": 1, "x": 2.5}]}


class Serving:
    """Listens where the serving process would, remembers what it is asked, answers what it is told to."""

    def __init__(self, api: Api) -> None:
        settings = api.parts.settings
        settings.runtime.mkdir(parents=True, exist_ok=True)
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {"predictions": [{"label": "a", "probabilities": {"a": 1.0}}]}
        self._listener = Listener(online.address(settings), authkey=online.secret(settings))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                with self._listener.accept() as connection:
                    self.asked.append(json.loads(connection.recv_bytes()))
                    connection.send_bytes(json.dumps(self.answers).encode())
            except (OSError, EOFError):
                return

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serving(api: Api) -> Iterator[Serving]:
    api.ready_dataset()
    api.model_version()
    found = Serving(api)
    yield found
    found.close()


def test_instances_reach_the_version_that_the_ref_means(api: Api, serving: Serving) -> None:
    api.as_key("maintainer").call("PUT", "models/iris/aliases/best", json={"version": 1})
    digest = api.get("models/iris/versions/1").json["digest"]
    for ref in ("iris", "iris@1", "iris@best"):
        answer = api.as_key("viewer").post(f"models/{ref}/predict", json=INSTANCES)
        assert answer.status_code == 200
        assert answer.json == {"model": "iris", "version": 1, **serving.answers}
    assert serving.asked == [{"package": digest, "runtime": "tensorflow", **INSTANCES}] * 3


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("ref", ["nope", "iris@2", "iris@nope", "iris@", "A b"])
def test_what_is_not_there_is_not_found(api: Api, problem: Problem, ref: str) -> None:
    problem(api.post(f"models/{ref}/predict", json=INSTANCES), 404)


@pytest.mark.usefixtures("serving")
def test_a_model_of_another_project_is_not_found(api: Api, problem: Problem) -> None:
    problem(api.as_key("other").post("models/iris/predict", json=INSTANCES), 404)


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["instances"]),
        ({"instances": []}, ["instances"]),
        ({"instances": [1]}, ["instances", 0]),
        ({"instances": [{}] * (online.MAX_INSTANCES + 1)}, ["instances"]),
        (INSTANCES | {"more": 1}, ["more"]),
    ],
)
def test_a_wrong_body_is_refused(api: Api, problem: Problem, body: Any, loc: list[Any]) -> None:
    problem(api.post("models/iris/predict", json=body), 422, *loc)


def test_an_instance_that_does_not_fit_is_named(api: Api, serving: Serving, problem: Problem) -> None:
    serving.answers = {"errors": [{"loc": ["instances", 0, "x"], "msg": "should be a number"}]}
    problem(api.post("models/iris/predict", json=INSTANCES), 422, "instances", 0, "x")


def test_a_model_that_cannot_answer_is_unavailable(api: Api, serving: Serving, problem: Problem) -> None:
    serving.answers = {"unavailable": "the model is being loaded or busy; ask again"}
    answer = api.post("models/iris/predict", json=INSTANCES)
    assert "being loaded" in problem(answer, 503)["detail"]
    assert answer.headers["Retry-After"]


def test_without_a_serving_process_it_says_what_to_start(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    api.model_version()
    found = problem(api.post("models/iris/predict", json=INSTANCES), 503)
    assert "headrace serve" in found["detail"]
