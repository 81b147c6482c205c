"""Packages that were tampered with, and files that hold more than a model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import skops.io

import learning
from headrace.errors import BadData, BadSpec
from headrace_workers.engine import archive
from headrace_workers.engine.package import Package
from headrace_workers.engine.training import keras_file, skops_file

Members = dict[str, bytes]


def _members(path: Path) -> Members:
    with zipfile.ZipFile(path) as source:
        return {name: source.read(name) for name in source.namelist()}


def _manifest(change: Callable[[dict[str, Any]], None]) -> Callable[[Members], None]:
    def apply(members: Members) -> None:
        manifest = json.loads(members["manifest.json"])
        change(manifest)
        members["manifest.json"] = json.dumps(manifest).encode()

    return apply


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda m: m.update({"model.skops": m["model.skops"][:-1] + b"x"}), BadData),
        (lambda m: m.update({"more.txt": b""}), BadData),
        (lambda m: m.pop("preprocessing.json"), BadData),
        (lambda m: m.pop("manifest.json"), BadData),
        (lambda m: m.update({"manifest.json": b"{"}), BadData),
        (_manifest(lambda m: m.update(code="os:system")), BadSpec),
        (_manifest(lambda m: m.update(algorithm="unknown")), BadSpec),
        (_manifest(lambda m: m.update(format=2)), BadData),
        (_manifest(lambda m: m["params"].update(trees=0)), BadData),
    ],
)
def test_a_package_that_was_changed_is_refused(
    tmp_path: Path, forest: learning.Ran, change: Callable[[Members], None], error: type[Exception]
) -> None:
    members = _members(forest.package)
    change(members)
    archive.write(tmp_path / "package.zip", members)
    with pytest.raises(error):
        Package.load(tmp_path / "package.zip")


def test_zip_files_that_are_not_plain_are_refused(tmp_path: Path) -> None:
    def made(fill: Callable[[zipfile.ZipFile], None]) -> io.BytesIO:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as target:
            fill(target)
        return file

    def twice(target: zipfile.ZipFile) -> None:
        target.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            target.writestr("a", b"2")

    bad: list[Callable[[zipfile.ZipFile], None]] = [
        lambda z: z.writestr("../a", b""),
        lambda z: z.writestr("/a", b""),
        lambda z: z.writestr("a", bytes(10**6), zipfile.ZIP_DEFLATED),
        lambda z: [z.writestr(str(i), b"") for i in range(101)] and None,
        twice,
    ]
    for fill in bad:
        with pytest.raises(BadData):
            archive.open_zip(made(fill))
    with pytest.raises(BadData):
        archive.open_zip(io.BytesIO(b"no zip"))


def test_a_keras_file_with_other_layers_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((2,))
    for layer in (keras.layers.Lambda(lambda x: x, output_shape=(2,)), keras.layers.Hashing(3)):
        keras_file.save(keras.Model(inputs, layer(inputs)), tmp_path / "model.keras")
        with pytest.raises(BadData, match="not allowed"):
            keras_file.load(tmp_path / "model.keras")


def test_a_keras_file_with_a_class_of_ones_own_is_refused() -> None:
    config = {"class_name": "Dense", "module": "evil.layers", "config": {}}
    for wrong in (config, {**config, "module": "keras.layers", "registered_name": "pkg>Dense"}):
        with pytest.raises(BadData, match="not allowed"):
            keras_file.check_config({"layers": [wrong]})


def test_a_skops_file_with_other_types_is_refused(tmp_path: Path) -> None:
    class Evil:
        pass

    (tmp_path / "model.skops").write_bytes(skops.io.dumps(Evil()))
    with pytest.raises(BadData, match="not allowed"):
        skops_file.load(tmp_path / "model.skops")


def test_a_downloaded_keras_file_works_without_headrace(
    tmp_path: Path, cnn: learning.Ran, digits: learning.Data
) -> None:
    with zipfile.ZipFile(cnn.package) as source:
        source.extract("model.keras", tmp_path)
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model.output_shape == (None, 10)
    assert cnn.done.result["weights_digest"].startswith("sha256:")
