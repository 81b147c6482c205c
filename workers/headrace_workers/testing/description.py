"""What an algorithm's description must say before anything is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from headrace.errors import HeadraceError
from headrace.specs.algorithms import GROUP, Algorithm
from headrace_workers.engine import package
from headrace_workers.engine.algorithms.base import Learner
from headrace_workers.engine.algorithms.network import Network

NAME = re.compile(r"[a-z][a-z0-9_]*")
LOWER, UPPER = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")


def problems(algorithm: Algorithm) -> Iterator[str]:
    """Yield what is wrong with the description of ``algorithm``, one sentence each."""
    if not NAME.fullmatch(algorithm.name):
        yield f"its name {algorithm.name!r} should be lower case, digits and underscores"
    if algorithm.name not in {point.name for point in entry_points(group=GROUP)}:
        yield f"its entry point in the group {GROUP} should be called {algorithm.name}, as it is"
    for field in ("title", "summary", "source", "tasks", "features"):
        if not getattr(algorithm, field):
            yield f"its description has no {field}"
    yield from _params(algorithm.schema_of_params(), "")
    try:
        algorithm.check_params(algorithm.trial)
        if not algorithm.trial:
            algorithm.check_params({})
    except HeadraceError as error:
        yield f"its trial params are refused: {error.detail}"
    yield from _code(algorithm)


def _params(schema: dict[str, Any], within: str) -> Iterator[str]:
    parts = schema.get("$defs", {})
    for name, part in parts.items():
        yield from _params(part, f"{name}.")
    for name, shape in schema.get("properties", {}).items():
        kinds = [shape, *shape.get("anyOf", [])]
        described = [parts.get(kind.get("$ref", "").rpartition("/")[2], kind) for kind in kinds]
        if not any(kind.get("description") for kind in described):
            yield f"param {within}{name} has no description"
        if "default" not in shape:
            yield f"param {within}{name} has no default"
        for kind in kinds:
            if kind.get("type") in ("integer", "number") and "enum" not in kind and "const" not in kind:
                if not any(bound in kind for bound in LOWER):
                    yield f"param {within}{name} has no lower bound"
                if not any(bound in kind for bound in UPPER):
                    yield f"param {within}{name} has no upper bound"


def _code(algorithm: Algorithm) -> Iterator[str]:
    try:
        found = package.learner_class(algorithm.code)
    except (ImportError, AttributeError, ValueError) as error:
        yield f"its code {algorithm.code!r} cannot be imported: {error}"
        return
    if not issubclass(found, Learner):
        yield f"its code {algorithm.code!r} is no Learner"
    elif found.params_class is not algorithm.params:
        yield f"its code takes {found.params_class.__name__}, its description {algorithm.params.__name__}"
    if algorithm.gradients and not issubclass(found, Network):
        yield "its description says gradients, which only a Network has"
