"""A form made of a JSON Schema, and what people type into it as JSON again.

Whether a value is right is not decided here: what cannot be read as the schema's type is passed on as text,
so that the domain says what is wrong with it, and the form shows that at its field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.errors import FieldError, Invalid, Loc, Malformed
from headrace_web import body

_INTEGER = re.compile(r"[+-]?[0-9]{1,50}")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field. ``loc`` is its place in the body of a submission, ``options`` are those of a choice.

    ``placeholder`` shows the default, which an empty field means; ``rows`` the height of a long text.
    """

    loc: Loc
    label: str
    help: str = ""
    type: str = "text"
    options: Sequence[tuple[str, str]] = ()
    placeholder: str = ""
    rows: int = 0
    required: bool = False
    items: str = ""
    value: str = ""
    errors: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What the field is called in the form."""
        return ".".join(str(part) for part in self.loc)

    @property
    def id(self) -> str:
        """What the field is called on the page."""
        return "field-" + re.sub(r"\W", "-", self.name)

    def read(self, text: str) -> Any:
        """Return ``text`` as JSON of the field's type, or as it is where it is none."""
        if self.type == "list":
            return [_scalar(part.strip(), self.items) for part in text.split(",") if part.strip()]
        if self.type == "json":
            try:
                return body.parse(text.encode())
            except Malformed:
                return text
        if self.type == "boolean":
            return {"true": True, "false": False}.get(text, text)
        if self.type == "choice":
            return _scalar(text, self.items)
        return _scalar(text, self.type)


def of_schema(schema: Mapping[str, Any], loc: Loc) -> list[Field]:
    """Return a field for each property of the object that ``schema`` describes, which is at ``loc``."""
    required = schema.get("required", ())
    return [
        _field(name, definition, (*loc, name), name in required)
        for name, definition in schema.get("properties", {}).items()
    ]


def read(fields: Iterable[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON object that the fields make; what is left empty is left out."""
    found: dict[str, Any] = {}
    for field in fields:
        text = form.get(field.name, "").strip()
        if text:
            inner = found
            for part in field.loc[:-1]:
                inner = inner.setdefault(str(part), {})
            inner[str(field.loc[-1])] = field.read(text)
    return found


def fill(fields: Sequence[Field], form: Mapping[str, str], error: Invalid | None) -> list[Field]:
    """Return the fields with what was typed into them, and what is wrong with it."""
    found = error.errors if error else ()
    return [
        replace(
            field,
            value=form.get(field.name, field.value),
            errors=[_told(problem, field) for problem in found if _is_at(problem, field)],
        )
        for field in fields
    ]


def elsewhere(fields: Sequence[Field], error: Invalid | None) -> list[FieldError]:
    """Return what is wrong at no field of the form."""
    return [p for p in (error.errors if error else ()) if not any(_is_at(p, field) for field in fields)]


def _is_at(problem: FieldError, field: Field) -> bool:
    return problem.loc[: len(field.loc)] == field.loc


def _told(problem: FieldError, field: Field) -> str:
    within = ".".join(str(part) for part in problem.loc[len(field.loc) :])
    return f"{within}: {problem.msg}" if within else problem.msg


def _field(name: str, definition: Mapping[str, Any], loc: Loc, required: bool) -> Field:
    help = str(definition.get("description", ""))
    default = definition.get("default")
    kinds = [kind for kind in definition.get("anyOf", [definition]) if kind.get("type") != "null"]
    kind = kinds[0] if len(kinds) == 1 else {}
    shown = ", ".join(map(str, default)) if isinstance(default, list) else _text(default)
    plain = Field(
        loc=loc,
        label=name.replace("_", " "),
        help=help,
        placeholder=shown,
        required=required,
    )
    if "enum" in kind:
        options = [(str(value), str(value)) for value in kind["enum"]]
        return replace(plain, type="choice", options=options, items=str(kind.get("type", "string")))
    match kind.get("type"):
        case "integer" | "number" as type:
            return replace(plain, type=type)
        case "boolean":
            return replace(plain, type="boolean", options=[("true", "yes"), ("false", "no")])
        case "string":
            return replace(plain, type="string")
        case "array" if kind.get("items", {}).get("type") in ("integer", "number", "string"):
            return replace(plain, type="list", items=kind["items"]["type"])
    return replace(plain, type="json")


def _text(default: Any) -> str:
    if default is None:
        return ""
    return default if isinstance(default, str) else json.dumps(default)


def _scalar(text: str, type: str) -> Any:
    if type == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if type == "number":
        try:
            return float(text)
        except ValueError:
            return text
    return text
