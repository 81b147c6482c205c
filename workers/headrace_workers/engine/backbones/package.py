"""A backbone as one file, written and read by us alone: equal networks give equal bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.errors import BadData
from headrace_workers.engine import archive

MANIFEST, MODEL = "manifest.json", "model.keras"


class Manifest(BaseModel):
    """What the package is. ``uploaded`` is the digest of the file that it was made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    task: Literal["backbone"] = "backbone"
    architecture: dict[str, Any]
    uploaded: str
    keras_version: str
    weights_digest: str


def write(path: Path, model: Any, manifest: Manifest) -> None:
    """Write ``model`` and ``manifest`` to a file at ``path``."""
    from headrace_workers.engine.training import keras_file

    with tempfile.TemporaryDirectory(dir=path.parent, prefix="package-") as folder:
        file = Path(folder) / MODEL
        keras_file.save(model, file)
        archive.write(path, {MODEL: file, MANIFEST: manifest.model_dump_json(indent=1).encode()})


def load(path: Path) -> Any:
    """Return the Keras model of the backbone at ``path``. Raises `BadData` for what `write` did not write."""
    from headrace_workers.engine.training import keras_file

    with tempfile.TemporaryDirectory(dir=path.parent, prefix="package-") as folder:
        with archive.open_zip(path) as source:
            try:
                Manifest.model_validate_json(source.read(MANIFEST))
                source.extract(MODEL, folder)
            except (KeyError, ValidationError):
                raise BadData("This is no package of a backbone.") from None
        return keras_file.load(Path(folder) / MODEL)
