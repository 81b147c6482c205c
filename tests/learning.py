"""Runs kinds of jobs as a job process would, on real data written as ingest writes it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pydantic import BaseModel
from sklearn import datasets

from headrace.specs.algorithms import algorithm
from headrace.specs.base import Column, ColumnType
from headrace.specs.jobs import TrainSpec
from headrace.specs.task import Done, Failed, Metric, Progress, Task
from headrace_workers.engine import main

ARROW: dict[str, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
    "image": pa.binary(),
    "sequence": pa.list_(pa.float64()),
}


@dataclass(frozen=True)
class Data:
    path: Path
    columns: list[Column]

    @property
    def table(self) -> pa.Table:
        return pq.read_table(self.path)


@dataclass(frozen=True)
class Ran:
    out: Path
    messages: list[BaseModel]

    @property
    def done(self) -> Done:
        assert isinstance(self.messages[-1], Done), self.messages[-1]
        return self.messages[-1]

    @property
    def failed(self) -> Failed:
        assert isinstance(self.messages[-1], Failed), self.messages[-1]
        return self.messages[-1]

    @property
    def package(self) -> Path:
        return self.out / self.done.outputs["package"]

    @property
    def evaluation(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / self.done.outputs["evaluation"]).read_bytes())
        return found

    @property
    def explanation(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / self.done.outputs["explanation"]).read_bytes())
        return found

    @property
    def output(self) -> Path:
        return self.out / self.done.outputs["output"]

    def curve(self, name: str) -> list[float]:
        return [m.value for m in self.messages if isinstance(m, Metric) and m.name == name]

    def fractions(self) -> list[float]:
        return [m.fraction for m in self.messages if isinstance(m, Progress)]


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(folder: Path, columns: Mapping[str, tuple[ColumnType, Any]]) -> Data:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({name: pa.array(values, ARROW[type]) for name, (type, values) in columns.items()})
    pq.write_table(table, folder / "data.parquet", row_group_size=8192)
    found = [
        Column(name=name, type=type, nullable=table[name].null_count > 0)
        for name, (type, _) in columns.items()
    ]
    return Data(folder / "data.parquet", found)


@cache
def _digits() -> tuple[list[bytes], list[str]]:
    x, y = datasets.load_digits(return_X_y=True)
    return [png((row.reshape(8, 8) * 15.9).astype(np.uint8)) for row in x], [str(label) for label in y]


def digits(folder: Path, rows: int | None = None) -> Data:
    images, labels = _digits()
    return write(folder, {"image": ("image", images[:rows]), "label": ("category", labels[:rows])})


def table(folder: Path, bunch: Any, target: ColumnType, classes: bool = False) -> Data:
    columns: dict[str, tuple[ColumnType, Any]] = {
        name: ("number", bunch.data[:, i]) for i, name in enumerate(bunch.feature_names)
    }
    values = [str(bunch.target_names[t]) for t in bunch.target] if classes else bunch.target
    return write(folder, columns | {"target": (target, values)})


def train_spec(data: Data, name: str, target: str = "target", **spec: Any) -> dict[str, Any]:
    """Return a resolved train spec."""
    described = algorithm(name)
    types = {column.name: column.type for column in data.columns}
    task = "regression" if types.get(target) == "number" else "classification"
    whole = {
        "model": "m",
        "dataset": "d@1",
        "algorithm": name,
        "target": target,
        "task": task,
        "features": [c for c, type in types.items() if c != target and type in described.features],
        **spec,
        "params": described.check_params(spec.get("params", {})),
    }
    return TrainSpec.model_validate(whole).model_dump(mode="json")


def train(
    folder: Path,
    data: Data,
    name: str,
    target: str = "target",
    *,
    base: Path | None = None,
    backbone: Path | None = None,
    members: Sequence[Path] = (),
    held_out: Mapping[str, Path] = MappingProxyType({}),
    hold_out: bool = False,
    **spec: Any,
) -> Ran:
    resolved = train_spec(data, name, target, **spec, base="m@1" if base or backbone else None)
    return run(
        folder,
        "train",
        resolved,
        data,
        base=base,
        backbone=backbone,
        members=members,
        held_out=held_out,
        hold_out=hold_out,
        code=algorithm(name).code,
    )


def run(
    folder: Path,
    kind: str,
    spec: dict[str, Any],
    data: Data | None,
    *,
    package: Path | None = None,
    base: Path | None = None,
    backbone: Path | None = None,
    source: Path | None = None,
    members: Sequence[Path] = (),
    held_out: Mapping[str, Path] = MappingProxyType({}),
    hold_out: bool = False,
    code: str | None = None,
    validation: bool = False,
) -> Ran:
    folder.mkdir(parents=True, exist_ok=True)
    given = {"package": package, "base": base, "backbone": backbone, "source": source}
    given |= {"data": data.path} if data else {}
    given |= {f"member_{i}": path for i, path in enumerate(members)}
    given |= held_out
    inputs = {name: str(path) for name, path in given.items() if path}
    task = Task(
        job="job_1",
        kind=kind,
        attempt=1,
        spec=spec,
        inputs=inputs,
        columns=data.columns if data else [],
        code=code,
        validation=validation,
        held_out=hold_out,
        lineage={"split": spec["split"]} if kind in ("train", "reproduce") else {},
    )
    (folder / "task.json").write_text(task.model_dump_json())
    messages: list[BaseModel] = []
    main.run(folder, messages.append)
    return Ran(folder / "out", messages)


def predict(folder: Path, data: Data, package: Path, **spec: Any) -> Ran:
    return run(folder, "predict", {"model": "m@1", "dataset": "d@1", **spec}, data, package=package)


def evaluate(folder: Path, data: Data, package: Path) -> Ran:
    return run(folder, "evaluate", {"model": "m@1", "dataset": "d@1"}, data, package=package)


def explain(folder: Path, data: Data, package: Path, method: str = "permutation", **spec: Any) -> Ran:
    whole = {"model": "m@1", "dataset": "d@1", "method": method, "rows": 200, "part": "all", **spec}
    return run(folder, "explain", whole, data, package=package)
