"""The space that a tune job searches: checked when it is submitted, and what its spec says of the search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.orm import Session

from headrace.errors import FieldError, Invalid
from headrace.jobs.kinds import Resolved, members_anew, train
from headrace.specs.algorithms import Algorithm, algorithm
from headrace.specs.jobs import TrainSpec
from headrace.specs.metrics import CURVES, VALIDATION, on_validation_rows
from headrace.specs.tuning import DEFAULT_TRIALS, MAX_TRIALS, Tried, TuneSpec
from headrace.tuning import Dimension, Search

PARAMS = "params"
_NUMBERS = ("integer", "number")
_ONE_TRAINING = "a trial is one training: should be null"


def resolve(session: Session, project: str, spec: TuneSpec) -> Resolved:
    """Check the training as one of its own, and everything that is to be tried in it."""
    try:
        resolved = train.resolve(session, project, spec.train)
    except Invalid as error:
        raise Invalid([_moved(found, ("spec", "train")) for found in error.errors]) from None
    training = resolved.spec
    assert isinstance(training, TrainSpec)
    chosen = algorithm(training.algorithm, "spec", "train", "algorithm")
    wrong = [found for path, tried in spec.space.items() for found in _misfits(chosen, training, path, tried)]
    for field in ("cross_validation", "fold"):
        if getattr(training, field) is not None:
            msg = "a trial is measured on validation rows: should be null"
            wrong.append(FieldError(loc=("spec", "train", field), msg=msg))
    if members_anew.folds(training) is not None:
        wrong.append(FieldError(loc=("spec", "train", PARAMS, "folds"), msg=_ONE_TRAINING))
    if training.split.validation == 0 and not training.split.by.startswith("column:"):
        msg = "trials are compared by validation rows: should be above 0"
        wrong.append(FieldError(loc=("spec", "train", "split", "validation"), msg=msg))
    wrong.extend(_metric_misfits(spec, training, chosen))
    if wrong:
        raise Invalid(wrong)
    spec = spec.model_copy(update={"train": training})
    spec = spec.model_copy(update={"trials": _trials(spec)})
    return Resolved(spec=spec, model=resolved.model, dataset=resolved.dataset)


def search(spec: TuneSpec) -> Search:
    """Return the search that the resolved ``spec`` asks for."""
    chosen = algorithm(spec.train.algorithm, "spec", "train", "algorithm")
    return Search(
        space={path: _dimension(chosen, path, tried) for path, tried in spec.space.items()},
        higher_is_better=higher_is_better(spec),
        sampler=spec.sampler,
        pruner=spec.pruner,
        seed=spec.seed,
        most_steps=spec.train.params.get("epochs"),
    )


def higher_is_better(spec: TuneSpec) -> bool:
    """Return whether more of the metric of the resolved ``spec`` is better."""
    assert spec.train.task is not None, "the task is resolved when the job is submitted"
    return on_validation_rows(spec.train.task)[spec.metric]


def curve(spec: TuneSpec) -> str:
    """Return the name of the curve that a network reports of the metric."""
    return VALIDATION + spec.metric.removeprefix(VALIDATION)


def trial_spec(spec: TuneSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of the training that tries ``values``, by path."""
    training: dict[str, Any] = spec.train.model_dump(mode="json")
    for path, value in values.items():
        training[PARAMS] = _with(training[PARAMS], _names(path), value)
    return training


def _misfits(chosen: Algorithm, training: TrainSpec, path: str, tried: Tried) -> Iterator[FieldError]:
    """Yield what is wrong with trying ``tried`` for ``path``: each end of a range and each choice is checked
    as if it stood in the params.
    """
    loc = ("spec", "space", path)
    names = _names(path)
    if not path.startswith(f"{PARAMS}.") or names[0] not in chosen.params.model_fields:
        known = ", ".join(f"{PARAMS}.{name}" for name in chosen.params.model_fields)
        yield FieldError(loc=loc, msg=f"is no param of {chosen.name}; those are {known}")
        return
    if tried.choices is None:
        types = _types(chosen.schema_of_params(), names)
        if not types & set(_NUMBERS):
            yield FieldError(loc=loc, msg="takes no numbers: name its choices")
            return
        if "number" not in types and not _whole(tried):
            yield FieldError(loc=loc, msg="takes whole numbers: low, high and step should be such")
            return
        candidates: list[tuple[tuple[str | int, ...], Any]] = [
            ((*loc, name), int(end) if "number" not in types else end)
            for name, end in (("low", tried.low or 0.0), ("high", tried.high or 0.0))
        ]
    else:
        candidates = [((*loc, "choices", index), value) for index, value in enumerate(tried.choices)]
    for where, value in candidates:
        for found in _refused(chosen, training, names, value):
            yield FieldError(loc=where, msg=found)


def _refused(chosen: Algorithm, training: TrainSpec, names: list[str], value: Any) -> Iterator[str]:
    assert training.task is not None, "the task is resolved by now"
    try:
        params = chosen.check_params(_with(training.params, names, value), PARAMS)
        chosen.check_fit(params, training.task, PARAMS)
        tried = training.model_copy(update={"params": params})
        if members_anew.folds(training) is None and members_anew.folds(tried) is not None:
            yield _ONE_TRAINING
    except Invalid as error:
        for found in error.errors:
            deeper = ".".join(map(str, found.loc))
            yield found.msg if deeper == ".".join([PARAMS, *names]) else f"{deeper}: {found.msg}"


def _metric_misfits(spec: TuneSpec, training: TrainSpec, chosen: Algorithm) -> Iterator[FieldError]:
    assert training.task is not None, "the task is resolved by now"
    known = on_validation_rows(training.task)
    curves = CURVES.get(training.task, {})
    learns_by_epochs = "epochs" in chosen.params.model_fields
    if not learns_by_epochs:
        known = {name: higher for name, higher in known.items() if name != f"{VALIDATION}loss"}
    if spec.metric not in known:
        msg = f"{spec.metric!r} is no metric of {chosen.name} for {training.task}; there are "
        yield FieldError(loc=("spec", "metric"), msg=msg + ", ".join(known))
    elif spec.pruner != "none" and not learns_by_epochs:
        msg = f"{chosen.name} reports nothing before it ends, so it cannot be pruned: should be none"
        yield FieldError(loc=("spec", "pruner"), msg=msg)
    elif spec.pruner != "none" and curve(spec) not in curves:
        msg = f"a pruner needs a metric that is reported on the way: {' or '.join(curves)}"
        yield FieldError(loc=("spec", "metric"), msg=msg)


def _trials(spec: TuneSpec) -> int:
    """Return how many trials there are; of a grid, all its points by default. Raises `Invalid`."""
    if spec.sampler != "grid":
        return spec.trials or DEFAULT_TRIALS
    for path, dimension in search(spec).space.items():
        if dimension.size is None:
            msg = "a grid needs choices or steps: give step, or take another sampler"
            raise Invalid.field("spec", "space", path, msg=msg)
    points = search(spec).points
    if (spec.trials or points) > min(points, MAX_TRIALS):
        msg = f"the grid has {points} points, and there may be {MAX_TRIALS} trials at most"
        raise Invalid.field("spec", "trials", msg=msg)
    return spec.trials or points


def _dimension(chosen: Algorithm, path: str, tried: Tried) -> Dimension:
    integer = "number" not in _types(chosen.schema_of_params(), _names(path))
    return Dimension.of(tried, integer=integer)


def _types(schema: Mapping[str, Any], names: list[str]) -> set[str]:
    """Return the JSON types that the schema of params allows at ``names``."""
    found = [schema]
    for name in names:
        within = [option for each in found for option in _options(schema, each)]
        found = [option["properties"][name] for option in within if name in option.get("properties", {})]
    return {str(option.get("type")) for each in found for option in _options(schema, each)}


def _options(root: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return ``schema`` with references and alternatives resolved."""
    if "$ref" in schema:
        return _options(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    either = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [option for each in either for option in _options(root, each)] if either else [schema]


def _whole(tried: Tried) -> bool:
    return all(float(value or 0).is_integer() for value in (tried.low, tried.high, tried.step))


def _names(path: str) -> list[str]:
    return path.split(".")[1:] or [""]


def _with(value: Mapping[str, Any] | None, names: list[str], new: Any) -> dict[str, Any]:
    """Return a copy of ``value`` that has ``new`` at ``names``."""
    within = dict(value or {})
    first, *rest = names
    within[first] = _with(within.get(first), rest, new) if rest else new
    return within


def _moved(error: FieldError, to: tuple[str, ...]) -> FieldError:
    """Return an error of a train spec as one of the spec that holds it at ``to``."""
    return FieldError(loc=(*to, *error.loc[1:]), msg=error.msg)
