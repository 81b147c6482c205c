"""Keras models as files: written to equal bytes, read only where they hold nothing but known layers."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

from headrace.errors import BadData
from headrace_workers.engine import archive
from headrace_workers.engine.architecture import allowed, objects

MEMBERS = frozenset({"metadata.json", "config.json", "model.weights.h5"})
LAYERS = frozenset({*allowed.LAYERS, "Dot", "EinsumDense", "Functional", "Subtract"})
OTHERS = frozenset(
    {
        *(objects.INITIALIZERS.keys() | objects.REGULARIZERS.keys() | objects.CONSTRAINTS.keys()),
        *allowed.MASKS,
        "DTypePolicy",
        "__keras_tensor__",
    }
)


def save(model: Any, path: Path) -> None:
    """Write ``model`` to ``path``, which ends in ``.keras``; equal models give equal bytes."""
    draft = path.with_name("draft.keras")
    model.save(draft)
    with zipfile.ZipFile(draft) as source:
        members = {name: source.read(name) for name in source.namelist()}
    draft.unlink()
    # Two equal models differ in the time, in the memory addresses by which layers share objects, and in the
    # names of masks, which count up over the life of a process.
    metadata = json.loads(members["metadata.json"])
    del metadata["date_saved"]
    members["metadata.json"] = json.dumps(metadata, sort_keys=True).encode()
    config = json.loads(members["config.json"])
    _renumber(config, {})
    _rename(config, _names_of_masks(config))
    members["config.json"] = json.dumps(config).encode()
    archive.write(path, members)


def load(path: Path) -> Any:
    """Return the model at ``path``. Raises `BadData` for a file that `save` would not have written."""
    import keras

    with archive.open_zip(path) as source:
        if set(source.namelist()) != MEMBERS:
            raise BadData(f"A .keras file has the members {', '.join(sorted(MEMBERS))}, this one has others.")
        try:
            check_config(json.loads(source.read("config.json")))
        except (ValueError, RecursionError):
            raise BadData("The .keras file's config.json is not readable JSON.") from None
    try:
        return keras.models.load_model(os.fspath(path), compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise BadData(f"The .keras file cannot be loaded: {str(error)[:500]}") from None


def check_config(config: Any) -> None:
    """Raise `BadData` when anything in ``config`` is of a class that is not on the list."""
    if isinstance(config, dict):
        if "class_name" in config:
            name, module = config["class_name"], config.get("module") or "keras"
            builtin = module == "keras" or str(module).startswith("keras.")
            if (
                name not in LAYERS | OTHERS
                or not builtin
                or config.get("registered_name") not in (None, name)
            ):
                raise BadData(f"The .keras file holds a {str(module)[:50]}.{str(name)[:50]}: not allowed.")
        for value in config.values():
            check_config(value)
    elif isinstance(config, list):
        for value in config:
            check_config(value)


def _renumber(config: Any, numbers: dict[int, int]) -> None:
    if isinstance(config, dict):
        if "shared_object_id" in config:
            config["shared_object_id"] = numbers.setdefault(config["shared_object_id"], len(numbers))
        for value in config.values():
            _renumber(value, numbers)
    elif isinstance(config, list):
        for value in config:
            _renumber(value, numbers)


def _names_of_masks(config: dict[str, Any]) -> dict[str, str]:
    masks = [node["name"] for node in config["config"]["layers"] if node["class_name"] in allowed.MASKS]
    return {name: f"mask_{number}" for number, name in enumerate(masks, 1)}


def _rename(config: Any, names: dict[str, str]) -> None:
    if isinstance(config, dict):
        if config.get("name") in names:
            config["name"] = names[config["name"]]
        if "keras_history" in config:
            config["keras_history"][0] = names.get(config["keras_history"][0], config["keras_history"][0])
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        _rename(value, names)
