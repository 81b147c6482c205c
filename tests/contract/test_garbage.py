"""Whatever is sent, the answer is never a fault of the server and always a problem where it is no success."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.api import TRAIN, Api
from headrace_web.api import all_routes
from headrace_web.routes import Route

ROUTES = [route for route in all_routes() if route.path != "/readyz"]
NASTY = ["", "0", "-1", "1", "true", "null", "iris", "iris@1", "mlp", "job_0", "key_0", "../..", "%", "\x00"]
NASTY += ["\ud800", "é\u202e", "'; --", "1e999", "9" * 40, "a:number", "x:text,y:text", "\n", "a" * 300]
NASTY += ["2027-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]
TEXT = st.sampled_from(NASTY) | st.text(max_size=20)
FIELDS = [
    *TRAIN,
    "kind",
    "spec",
    "name",
    "tags",
    "depends_on",
    "priority",
    "params",
    "version",
    "role",
    "split",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | TEXT, inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[Route, str, dict[str, Any]]:
    route = draw(st.sampled_from(ROUTES))
    values = [quote(value.encode("utf-8", "replace"), safe="") for value in NASTY]
    path = re.sub(r"<\w+:(\w+)>", lambda _: draw(st.sampled_from(values)), route.path)
    names = st.sampled_from([*route.query.model_fields, "nope"])
    query = draw(st.dictionaries(names, TEXT.map(lambda text: text.encode("utf-8", "replace")), max_size=3))
    options: dict[str, Any] = {"query_string": query, "headers": draw(_headers())}
    if route.consumes:
        options |= {
            "data": draw(st.binary(max_size=50)),
            "content_type": draw(st.sampled_from(route.consumes)),
        }
    elif route.body is not None:
        body: Any = draw(VALUES)
        if route.path.endswith("/jobs") and draw(st.booleans()):
            spec = TRAIN | {draw(st.sampled_from(FIELDS)): draw(VALUES)}
            body = {"kind": "train", "spec": spec, draw(st.sampled_from(FIELDS)): draw(VALUES)}
        options["json"] = body
    return route, path, options


@st.composite
def _headers(draw: st.DrawFn) -> dict[str, str]:
    names = [
        "Idempotency-Key",
        "Range",
        "If-Match",
        "If-None-Match",
        "Content-Digest",
        "X-Request-Id",
        "If-Range",
    ]
    values = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
    return draw(
        st.dictionaries(
            st.sampled_from(names), values | st.sampled_from(['"a"', "bytes=0-", "*"]), max_size=2
        )
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request_=requests())
def test_garbage_is_the_clients_fault(
    shared_api: Api, problem: Callable[..., Any], request_: tuple[Route, str, dict[str, Any]]
) -> None:
    route, path, options = request_
    answer = shared_api.as_key("admin").call(route.method, path, **options)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        problem(answer, answer.status_code)
