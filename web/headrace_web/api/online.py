"""Online prediction: a few instances in the request, their predictions in the answer."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, Field

from headrace import online
from headrace.artifacts import service as artifacts
from headrace.errors import Invalid, NotFound
from headrace.registry import service as registry
from headrace.specs.algorithms import algorithm
from headrace.specs.base import REF_PATTERN, Spec
from headrace_web.calls import Call
from headrace_web.routes import Routes

routes = Routes("predictions", "/api/v1/models")


class Instances(Spec):
    """What to predict: one object per instance, with an entry per input column of the version; an image is
    its file in base64, null says that a value is unknown. For a forecast an instance is one series,
    `{"history": [row, …]}`, each row with an entry per input column; rows behind the last value of the
    target, in which it is null, say what is known of steps ahead."""

    instances: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=online.MAX_INSTANCES)]


class Prediction(BaseModel):
    """Of a classifier the most probable label and the probability of each; of a regression the value; of a
    forecast each step behind the history, and of which series it is; of other tasks what they give out."""

    label: bool | int | str | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    cluster: int | None = None
    distance: float | None = None
    embedding: list[float] | None = None
    reconstruction_error: float | None = None
    anomaly_score: float | None = None
    anomaly: bool | None = None
    series: dict[str, Any] | None = None
    forecast: list[dict[str, Any]] | None = None


class Predictions(BaseModel):
    """One prediction per instance, in their order, and the version that made them."""

    model: str
    version: int
    predictions: list[dict[str, Any]] = Field(
        json_schema_extra={"items": Prediction.model_json_schema() | {"title": "Prediction"}}
    )


@routes.route(
    "POST", "/<ref:ref>/predict", role="viewer", body=Instances, returns=Predictions, problems=[503]
)
def predict(call: Call, ref: str, body: Instances) -> Predictions:
    """Predict a few instances at once. The first call after a while waits until the version is loaded."""
    if not re.fullmatch(REF_PATTERN, ref):
        raise NotFound
    with call.parts.database.read() as session:
        try:
            pinned, version = registry.resolve(session, call.project, ref, "path", "ref")
        except Invalid as error:
            raise NotFound(error.errors[0].msg) from None
        package = artifacts.artifact(session, version.id, "package").digest
    model = online.Model(package, algorithm(version.algorithm, "path", "ref").runtime)
    predictions = online.predict(call.parts.settings, model, body.instances)
    return Predictions(model=pinned.name, version=version.version, predictions=predictions)
