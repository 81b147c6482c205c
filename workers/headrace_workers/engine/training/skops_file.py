"""scikit-learn models as skops files: written to equal bytes, read only where every type is on a list."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from headrace.errors import BadData
from headrace_workers.engine import archive

TRUSTED = (
    "functools.partial",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
"""What may be in a file beyond the types that skops trusts by itself.

A partial is of a function that is on a list too; gradient boosting has one of ``check_array``.
"""

SCHEMA = "schema.json"
MAX_MEMBERS = 1_000_000


def save(model: Any, path: Path) -> None:
    """Write ``model`` to ``path``; equal models give equal bytes."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as source:
        schema = json.loads(source.read(SCHEMA))
        numbers: dict[int, int] = {}
        names: dict[str, str] = {}
        _renumber(schema, numbers, names)
        members = {new: source.read(old) for old, new in names.items()}
    members[SCHEMA] = json.dumps(schema).encode()
    archive.write(path, members)


def load(path: Path) -> Any:
    """Return the model at ``path``. Raises `BadData` for a file that `save` would not have written."""
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    archive.open_zip(path, MAX_MEMBERS).close()
    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise BadData(f"The skops file holds what is not allowed: {str(error)[:500]}") from None
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise BadData(f"The skops file cannot be loaded: {str(error)[:500]}") from None


def _renumber(node: Any, numbers: dict[int, int], names: dict[str, str]) -> None:
    """Replace memory addresses, by which skops names objects and members, by their order of appearance."""
    if isinstance(node, dict):
        if "__id__" in node:
            # Whether two equal numbers are one object is an accident; of other objects it is a fact.
            key = -len(numbers) if node.get("__loader__") == "JsonNode" else node["__id__"]
            node["__id__"] = numbers.setdefault(key, len(numbers))
        if node.get("file") is not None:
            suffix = Path(node["file"]).suffix
            node["file"] = names.setdefault(node["file"], f"{len(names)}{suffix}")
        children = list(node.values())
    else:
        children = node if isinstance(node, list) else []
    for child in children:
        _renumber(child, numbers, names)
