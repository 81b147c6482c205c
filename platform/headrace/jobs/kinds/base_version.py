"""Training that starts from a version: what is taken over from it, and what must fit."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.errors import Invalid
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from headrace.specs.algorithms import Algorithm
from headrace.specs.base import ColumnType
from headrace.specs.jobs import TrainSpec

BASE, BACKBONE = "base", registry.BACKBONE
"""The names of the base's package, a version's or a backbone's: among a job's inputs, and among the files of
the version made from it.

A version keeps the package that it started from, so that it can be made again when the base is no more.
"""


def take_over(
    session: Session, project: str, spec: TrainSpec, chosen: Algorithm, columns: Mapping[str, ColumnType]
) -> TrainSpec:
    """Return ``spec`` with the base pinned and its features and params where the spec says nothing else.

    Raises `Invalid` where the base is of another algorithm, or was trained on other columns.
    """
    if spec.base is None:
        if chosen.needs_base:
            msg = f"{chosen.name} needs a version to start from, of {' or '.join(chosen.bases)}"
            raise Invalid.field("spec", "base", msg=msg)
        return spec
    if not chosen.bases:
        raise Invalid.field("spec", "base", msg=f"{chosen.name} always learns from the beginning")
    ref, version = registry.resolve(session, project, spec.base, "spec", "base", backbones=True)
    if version.algorithm not in chosen.bases:
        takes = " or ".join(chosen.bases)
        msg = f"{ref} is a {version.algorithm}; {chosen.name} starts from a {takes}"
        raise Invalid.field("spec", "base", msg=msg)
    own = version.params if version.algorithm == chosen.name else {}
    if version.task == BACKBONE:
        return spec.model_copy(update={"base": str(ref), "params": {**own, **spec.params}})
    inputs = {column["name"]: column["type"] for column in version.signature["inputs"]}
    if spec.features is not None and spec.features != list(inputs):
        raise Invalid.field(
            "spec", "features", msg=f"{ref} was trained on {', '.join(inputs)}: should be null"
        )
    for name, kind in inputs.items():
        if columns.get(name) != kind:
            found = f"is a {columns[name]} column" if name in columns else "is missing"
            raise Invalid.field(
                "spec", "base", msg=f"{ref} needs the {kind} column {name!r}, which {found} here"
            )
    for name in chosen.params.encoding:
        if name in own and spec.params.get(name, own[name]) != own[name]:
            msg = f"columns stay encoded as {ref} has them: should be {own[name]!r}, or be left out"
            raise Invalid.field("spec", "params", name, msg=msg)
    return spec.model_copy(
        update={"base": str(ref), "features": list(inputs), "params": {**own, **spec.params}}
    )


def package(session: Session, project: str, spec: TrainSpec) -> dict[str, Stored]:
    """Return the base's package under its name, or nothing where the spec names none."""
    if spec.base is None:
        return {}
    _, version = registry.resolve(session, project, spec.base, "spec", "base", backbones=True)
    name = BACKBONE if version.task == BACKBONE else BASE
    return {name: artifacts.artifact(session, version.id, "package")}


def kept(session: Session, version: ModelVersion) -> dict[str, Stored]:
    """Return the package that ``version`` started from, under its name, or nothing where there was none."""
    files = artifacts.attached(session, version.id)
    return {name: file for name, file in files.items() if name in (BASE, BACKBONE)}
