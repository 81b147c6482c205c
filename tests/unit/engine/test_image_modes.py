"""Images as people have them, from the archive through training to predictions."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import learning
from headrace.specs.base import Column
from headrace.specs.task import TASK_FILE, Done, Task
from headrace_workers.engine import main

GREY: dict[str, Callable[[Image.Image], tuple[Image.Image, str]]] = {
    "grey": lambda image: (image, "PNG"),
    "grey JPEG": lambda image: (image, "JPEG"),
    "one bit": lambda image: (image.convert("1", dither=Image.Dither.NONE), "PNG"),
    "grey with alpha": lambda image: (image.convert("LA"), "PNG"),
    "16 bits": lambda image: (Image.fromarray(np.asarray(image).astype(np.uint16) * 257), "PNG"),
}
MODES: dict[str, Callable[[Image.Image], tuple[Image.Image, str]]] = {
    **GREY,
    "colour": lambda image: (image.convert("RGB"), "PNG"),
    "colour JPEG": lambda image: (image.convert("RGB"), "JPEG"),
    "palette": lambda image: (image.convert("P"), "PNG"),
    "palette with a transparent colour": lambda image: (transparent(image), "PNG"),
    "alpha": lambda image: (image.convert("RGBA"), "PNG"),
    "CMYK JPEG": lambda image: (image.convert("CMYK"), "JPEG"),
}
EACH = 12


def transparent(image: Image.Image) -> Image.Image:
    found = image.convert("P")
    found.info["transparency"] = 255
    return found


def write(folder: Path, modes: dict[str, Callable[[Image.Image], tuple[Image.Image, str]]]) -> Path:
    """Write an archive of bright and dark images, in all ``modes`` and sizes."""
    random = np.random.default_rng(0)
    folder.mkdir()
    with zipfile.ZipFile(folder / "upload", "w") as archive:
        for label, shade in (("bright", 220), ("dark", 30)):
            for mode, make in modes.items():
                for index in range(EACH):
                    width, height = random.integers(9, 60, 2)
                    grey = np.clip(random.normal(shade, 12, (height, width)), 0, 255).astype(np.uint8)
                    image, kind = make(Image.fromarray(grey))
                    data = io.BytesIO()
                    image.save(data, kind)
                    archive.writestr(f"{label}/{mode} {index}", data.getvalue())
    return folder


def ingest(scratch: Path) -> learning.Data:
    spec = {"dataset": "d", "version": 1, "media_type": "application/zip"}
    task = Task(job="job_1", kind="ingest", attempt=1, spec=spec, inputs={"source": "upload"})
    (scratch / TASK_FILE).write_text(task.model_dump_json())
    messages: list[object] = []
    main.run(scratch, messages.append)
    done = messages[-1]
    assert isinstance(done, Done), done
    columns = [Column.model_validate(column) for column in done.result["columns"]]
    return learning.Data(scratch / "out" / done.outputs["data"], columns)


@pytest.mark.parametrize(("modes", "channels"), [(MODES, 3), (GREY, 1)])
def test_images_of_every_size_and_mode_are_learned_and_predicted(
    tmp_path: Path, modes: dict[str, Callable[[Image.Image], tuple[Image.Image, str]]], channels: int
) -> None:
    data = ingest(write(tmp_path / "ingest", modes))
    profile = json.loads((data.path.parent / "profile.json").read_text())["columns"]["image"]
    assert sum(profile["modes"].values()) == 2 * EACH * len(modes)
    expected = {"L", "1", "LA", "I;16"} | ({"RGB", "P", "RGBA", "CMYK"} if channels == 3 else set())
    assert set(profile["modes"]) == expected
    shown = json.loads((data.path.parent / "rows.json").read_text())["rows"]
    assert all(row["image"]["thumbnail"].startswith("data:image/png;base64,") for row in shown)

    trained = learning.train(
        tmp_path / "train",
        data,
        "cnn",
        "label",
        params={"epochs": 8, "filters": [4], "dense": [], "learning_rate": 0.01},
        split={"by": "random", "validation": 0.0, "test": 0.2},
    )
    predicted = learning.predict(tmp_path / "predict", data, trained.package, max_bad=0.0)
    found = pq.read_table(predicted.output)["prediction"].to_pylist()
    right = np.array(found) == np.array(data.table["label"].to_pylist())
    assert right.mean() > 0.95
