"""The form for a new job, made of the algorithm's schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from flask import Response, request
from pydantic import Field as QueryField
from pydantic import ValidationError, model_validator
from sqlalchemy.orm import Session

from headrace.datasets import service as datasets
from headrace.errors import Invalid
from headrace.jobs import service
from headrace.registry import service as registry
from headrace.specs.algorithms import NEEDS_TARGET, TARGETS, Algorithm, catalogue, field_errors
from headrace.specs.base import Column
from headrace.specs.jobs import JobRequest
from headrace_web.calls import Call
from headrace_web.dashboard import forms
from headrace_web.dashboard.forms import Field
from headrace_web.dashboard.jobs import known
from headrace_web.dashboard.pages import FORM, HTML, Pages, page, to
from headrace_web.pagination import MAX_LIMIT, Query

pages = Pages("submit")


class NewQuery(Query):
    """What was chosen before the rest of the form can be made."""

    kind: Annotated[str, QueryField(max_length=100)] = "train"
    dataset: Annotated[str, QueryField(max_length=210)] = ""
    model: Annotated[str, QueryField(max_length=210)] = ""
    algorithm: Annotated[str, QueryField(max_length=100)] = ""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value != ""}


@pages.route("GET", "/jobs/new", role="submitter", query=NewQuery, produces=HTML)
def new(call: Call, query: NewQuery) -> Response:
    """Show the form for a job of a kind, on a dataset, with an algorithm."""
    given = {"spec.dataset": query.dataset, "spec.model": query.model, "spec.algorithm": query.algorithm}
    with call.parts.database.read() as session:
        return _form(session, call, known(query.kind), {k: v for k, v in given.items() if v}, None)


@pages.route("POST", "/jobs", role="submitter", consumes=[FORM], produces=HTML)
def submit(call: Call) -> Response:
    """Submit the job, or show the form again with what is wrong in it."""
    kind = known(request.form.get("kind", ""))
    try:
        with call.parts.database.transaction() as session:
            fields = _fields(session, call.project, kind, request.form)
            body = {"kind": kind, **forms.read(fields, request.form)}
            row = service.submit(
                session,
                project=call.project,
                request=_validated(body),
                created_by=call.principal.key,
                now=call.now,
            )
    except Invalid as error:
        with call.parts.database.read() as session:
            return _form(session, call, kind, request.form, error)
    return to(f"/jobs/{row.id}")


def _validated(body: dict[str, Any]) -> JobRequest:
    try:
        return JobRequest.model_validate({"spec": {}, **body})
    except ValidationError as error:
        raise Invalid(field_errors(error)) from None


def _form(
    session: Session, call: Call, kind: str, given: Mapping[str, str], error: Invalid | None
) -> Response:
    fields = _fields(session, call.project, kind, given)
    filled = forms.fill(fields, given, error)
    return page(
        "submit.html",
        status=422 if error else 200,
        kind=kind,
        groups=_grouped(filled),
        algorithm=_algorithm(given),
        wrong=[field for field in filled if field.errors],
        elsewhere=forms.elsewhere(fields, error),
        failed=error is not None,
    )


def _grouped(fields: list[Field]) -> list[tuple[str, list[Field]]]:
    groups: dict[str, list[Field]] = {"What": [], "Params": [], "Rows": [], "Run": []}
    for field in fields:
        if field.loc[0] != "spec":
            group = "Run"
        else:
            group = {"params": "Params", "split": "Rows", "seed": "Rows"}.get(str(field.loc[1]), "What")
        groups[group].append(field)
    return [(title, found) for title, found in groups.items() if found]


def _algorithm(given: Mapping[str, str]) -> Algorithm | None:
    return catalogue().get(given.get("spec.algorithm", ""))


def _fields(session: Session, project: str, kind: str, given: Mapping[str, str]) -> list[Field]:
    sets = [
        (f"{row.name}@{version.version}", f"{row.name}@{version.version}")
        for row in datasets.datasets(session, project, limit=MAX_LIMIT).items
        if (version := datasets.latest_ready(session, row)) is not None
    ]
    dataset = Field(
        loc=("spec", "dataset"),
        label="dataset",
        type="ref",
        options=sets,
        required=True,
        help="Its newest version is offered; name@2 is an older one.",
    )
    run = [
        Field(loc=("name",), label="name of the job", type="string", help="For people; may be empty."),
        Field(loc=("priority",), label="priority", type="integer", placeholder="5", help="0 to 9, 9 first."),
        Field(loc=("queue",), label="queue", type="string", placeholder="default"),
        Field(
            loc=("timeout_s",),
            label="time limit in seconds",
            type="integer",
            placeholder="3600",
            help="Of one attempt.",
        ),
    ]
    if kind == "train":
        return [dataset, *_train(session, project, given), *run]
    model = Field(
        loc=("spec", "model"),
        label="model",
        type="ref",
        options=_models(session, project),
        required=True,
        help="A version (name@3), an alias (name@champion), or the newest version (name).",
    )
    if kind == "evaluate":
        return [model, dataset, _slices(), *run]
    if kind == "explain":
        return [model, dataset, *_explained(), *run]
    return [
        model,
        dataset,
        Field(
            loc=("spec", "format"),
            label="format",
            placeholder="parquet",
            type="choice",
            options=[(name, name) for name in ("parquet", "csv", "ndjson")],
        ),
        Field(
            loc=("spec", "keep"),
            label="columns to keep",
            type="list",
            items="string",
            help="Copied into the output, separated by commas.",
        ),
        *run,
    ]


def _explained() -> list[Field]:
    methods = [
        ("permutation", "permutation: shuffle each column (all but lists of items)"),
        ("integrated_gradients", "integrated gradients: heat maps, words, contributions (networks)"),
    ]
    return [
        Field(loc=("spec", "method"), label="method", type="choice", options=methods, required=True),
        Field(
            loc=("spec", "rows"),
            label="rows",
            type="integer",
            placeholder="2000, or 200",
            help="Explain so many rows at most; more for permutation, less for gradients.",
        ),
        Field(
            loc=("spec", "label"),
            label="class to explain",
            type="string",
            placeholder="the predicted one",
            help="Of integrated gradients.",
        ),
        Field(
            loc=("spec", "partial_dependence"),
            label="partial dependence of",
            type="list",
            items="string",
            placeholder="the three of most weight",
            help="Columns, separated by commas.",
        ),
    ]


def _slices() -> Field:
    return Field(
        loc=("spec", "slices"),
        label="slices",
        type="list",
        items="string",
        help="Columns by whose values the metrics are also told, separated by commas.",
    )


def _train(session: Session, project: str, given: Mapping[str, str]) -> list[Field]:
    algorithm = _algorithm(given)
    columns = _columns(session, project, given.get("spec.dataset", ""))
    names = [(entry.name, f"{entry.title} ({entry.name})") for entry in catalogue().values()]
    fields = [
        Field(loc=("spec", "algorithm"), label="algorithm", type="choice", options=names, required=True),
        Field(
            loc=("spec", "model"),
            label="model",
            type="string",
            required=True,
            help="What is trained becomes its next version; a new name makes a new model.",
        ),
        Field(
            loc=("spec", "target"),
            label="target",
            type="choice",
            required=algorithm is None or NEEDS_TARGET.issuperset(algorithm.tasks),
            help=_target_help(algorithm),
            options=_targets(columns, algorithm),
        ),
        Field(
            loc=("spec", "features"),
            label="features",
            type="list",
            items="string",
            placeholder="all others",
            help="Columns to learn from, separated by commas.",
        ),
    ]
    if algorithm is not None:
        fields += forms.of_schema(algorithm.schema_of_params(), ("spec", "params"))
    return [
        *fields,
        Field(
            loc=("spec", "split", "validation"),
            label="validation rows",
            type="number",
            placeholder="0.1",
            help="The share that early stopping looks at.",
        ),
        Field(
            loc=("spec", "split", "test"),
            label="test rows",
            type="number",
            placeholder="0.1",
            help="The share that training never sees; metrics are of these rows.",
        ),
        _slices(),
        Field(
            loc=("spec", "seed"),
            label="seed",
            type="integer",
            placeholder="0",
            help="The same seed learns the same, to the bit.",
        ),
    ]


def _target_help(algorithm: Algorithm | None) -> str:
    if algorithm is None or NEEDS_TARGET.issuperset(algorithm.tasks):
        return "The column to learn."
    return "Nothing needs to be learned of a column; one with labels is only evaluated by."


def _targets(columns: list[Column], algorithm: Algorithm | None) -> list[tuple[str, str]]:
    tasks = algorithm.tasks if algorithm else tuple(TARGETS)
    types = {type for task in tasks for type in TARGETS[task]}
    return [(column.name, f"{column.name} ({column.type})") for column in columns if column.type in types]


def _columns(session: Session, project: str, ref: str) -> list[Column]:
    try:
        _, version = datasets.resolve(session, project, ref)
    except (Invalid, ValueError):
        return []
    return [Column.model_validate(column) for column in version.columns or []]


def _models(session: Session, project: str) -> list[tuple[str, str]]:
    found = []
    for row in registry.models(session, project, limit=MAX_LIMIT).items:
        found += [f"{row.name}@{alias}" for alias in registry.aliases_of(session, row)]
        newest = registry.latest(session, row)
        if newest is not None:
            found.append(f"{row.name}@{newest.version}")
    return [(ref, ref) for ref in found]
