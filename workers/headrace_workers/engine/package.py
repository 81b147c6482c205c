"""A version as one file: everything that is needed to predict with it, and nothing that runs by itself.

::

    package.zip         stored, sorted, without times: two equal runs write equal bytes
      manifest.json     what it is, where it comes from, and the SHA-256 of each other member
      preprocessing.json  how columns are encoded, and the target
      model.keras       or model.skops; what the learner wrote
      member_0.zip, …   the packages of the versions that it combines, if it does

No member is a pickle. The code that reads a model is the installed algorithm of that name, never a path
that the file names.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from headrace.errors import BadData, BadSpec
from headrace.specs.algorithms import catalogue
from headrace.specs.base import ColumnType, TaskType
from headrace_workers.engine import archive, tasks
from headrace_workers.engine.algorithms.base import Arrays, Learner
from headrace_workers.engine.committee import Committee
from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.target import Target
from headrace_workers.engine.predictor import Predictor

MANIFEST, PREPROCESSING = "manifest.json", "preprocessing.json"
COPY_BYTES = 1 << 20

M = TypeVar("M", bound=BaseModel)


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Member(_Data):
    """One file of a package."""

    sha256: str
    size: int


class SignatureColumn(_Data):
    """One column of a signature."""

    name: str
    type: ColumnType


class Signature(_Data):
    """The columns that go in and come out."""

    inputs: list[SignatureColumn]
    outputs: list[SignatureColumn]


class Manifest(_Data):
    """What a package is. ``rows`` counts them by part.

    ``target`` is None where the version was trained without one; ``classes`` is None where it has none.
    """

    format: Literal[1] = 1
    algorithm: str
    code: str
    params: dict[str, Any]
    task: TaskType
    target: str | None
    classes: list[bool] | list[int] | list[str] | None
    signature: Signature
    seed: int
    threads: int
    deterministic: bool
    rows: dict[str, int]
    lineage: dict[str, Any]
    environment: dict[str, Any]
    weights_digest: str
    members: dict[str, Member] = Field(default={}, max_length=50)


class _Task(BaseModel):
    task: TaskType


class _Named(BaseModel):
    target: _Task


class Package:
    """A loaded version."""

    def __init__(self, manifest: Manifest, predictor: Predictor) -> None:
        self.manifest = manifest
        self.predictor = predictor

    @classmethod
    def load(cls, path: Path, *, threads: int | None = None) -> Package:
        """Return the version in the file at ``path``.

        ``threads``: those of this process, where they are set already; else it gets those of the version.
        Raises `BadData` for a file that `write` would not have written, `BadSpec` when this installation
        lacks its algorithm.
        """
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="package-") as folder:
            manifest = _unpack(path, Path(folder))
            columns, target = _read_fitted((Path(folder) / PREPROCESSING).read_bytes())
            threads = threads or manifest.threads
            if isinstance(columns, Committee):
                files = list(columns.files(Path(folder)))
                if not all(file.exists() for file in files):
                    raise BadData("This is no package: it lacks the packages of its members.")
                columns.seated([cls.load(file, threads=threads).predictor for file in files], files)
            algorithm = catalogue().get(manifest.algorithm)
            if algorithm is None or algorithm.code != manifest.code:
                raise BadSpec(f"This worker lacks the algorithm {manifest.algorithm[:100]!r} of this model.")
            problem = tasks.task(target.task).problem(
                target,
                columns.inputs,
                seed=manifest.seed,
                threads=threads,
                deterministic=manifest.deterministic,
            )
            try:
                params = algorithm.params.model_validate(manifest.params)
            except ValidationError as error:
                raise BadData(f"The package's params do not fit {algorithm.name}: {error}") from None
            learner = learner_class(algorithm.code).load(Path(folder), params, problem)
        return cls(manifest, Predictor(columns, learner, target))

    def predict(self, table: pa.Table) -> pa.Table:
        """Return the predictions for raw rows; see `Predictor.predict`."""
        return self.predictor.predict(table)


def write(path: Path, manifest: Manifest, predictor: Predictor) -> None:
    """Write the version to a file at ``path``; ``manifest`` gets its members here."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="package-") as name:
        folder = Path(name)
        predictor.learner.save(folder)
        predictor.preprocessing.save(folder)
        fitted = {"preprocessing": predictor.preprocessing, "target": predictor.target}
        (folder / PREPROCESSING).write_bytes(
            _to_json({name: part.model_dump(mode="json") for name, part in fitted.items()})
        )
        files = {file.name: file for file in folder.iterdir()}
        members = {
            file: Member(sha256=_sha256(source), size=source.stat().st_size) for file, source in files.items()
        }
        whole = manifest.model_copy(update={"members": dict(sorted(members.items()))})
        archive.write(path, {**files, MANIFEST: _to_json(whole.model_dump(mode="json"))})


def learner_class(code: str) -> type[Learner]:
    """Return the class at ``module:Class``."""
    module, _, name = code.partition(":")
    found: type[Learner] = getattr(import_module(module), name)
    return found


def weights_digest(learned: Arrays) -> str:
    """Return ``sha256:…`` over names, dtypes, shapes and little-endian bytes, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(learned):
        array = np.ascontiguousarray(learned[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        total.update(json.dumps([name, array.dtype.str, list(array.shape)]).encode())
        total.update(array.tobytes())
    return f"sha256:{total.hexdigest()}"


def _unpack(path: Path, folder: Path) -> Manifest:
    with archive.open_zip(path) as source:
        names = set(source.namelist())
        if MANIFEST not in names:
            raise BadData(f"This is no package: it has no {MANIFEST}.")
        manifest = _read_json(Manifest, source.read(MANIFEST), MANIFEST)
        if names != {MANIFEST, *manifest.members}:
            raise BadData("The package has other members than its manifest says.")
        for name, member in manifest.members.items():
            total = hashlib.sha256()
            with source.open(name) as data, (folder / name).open("xb") as out:
                while block := data.read(COPY_BYTES):
                    total.update(block)
                    out.write(block)
            if total.hexdigest() != member.sha256:
                raise BadData(f"The package's {name} is not the file that its manifest describes.")
    if PREPROCESSING not in manifest.members:
        raise BadData(f"This is no package: it has no {PREPROCESSING}.")
    return manifest


def _read_fitted(data: bytes) -> tuple[Preprocessing, Target]:
    """Return preprocessing and target, of the classes that their task says."""
    task = tasks.task(_read_json(_Named, data, PREPROCESSING).target.task)
    either: Any = task.preprocessing_class | Committee
    fitted = create_model(
        "Fitted",
        __base__=_Data,
        preprocessing=(either, ...),
        target=(task.target_class, ...),
    )
    found: Any = _read_json(fitted, data, PREPROCESSING)
    return found.preprocessing, found.target


def _to_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _read_json(model: type[M], data: bytes, name: str) -> M:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise BadData(f"The package's {name} is not valid: {str(error)[:1000]}") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
