"""The examples are what their README says, and job bodies that the product takes."""

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headrace.specs.algorithms import algorithm
from headrace.specs.jobs import EvaluateSpec, PredictSpec, TrainSpec
from headrace.specs.tuning import TuneSpec

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SPECS = {"train": TrainSpec, "evaluate": EvaluateSpec, "predict": PredictSpec, "tune": TuneSpec}


def test_the_digits_are_5000_grey_images_in_ten_folders() -> None:
    with zipfile.ZipFile(EXAMPLES / "digits.zip") as archive:
        names = archive.namelist()
        with Image.open(io.BytesIO(archive.read(names[0]))) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "L", (28, 28))
            assert np.asarray(image)[0].max() == 0
    labels = [name.partition("/")[0] for name in names]
    counts = {label: labels.count(label) for label in labels}
    assert sum(counts.values()) == len(set(names)) == 5_000
    assert sorted(counts) == [str(digit) for digit in range(10)]
    assert min(counts.values()) > 440


def test_the_readme_tells_the_digest_of_the_digits() -> None:
    digest = hashlib.sha256((EXAMPLES / "digits.zip").read_bytes()).hexdigest()
    assert digest in (EXAMPLES / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "rows", "columns"), [("iris", 150, 5), ("wine", 178, 14), ("diabetes", 442, 11)]
)
def test_the_tables_have_the_size_that_the_readme_says(name: str, rows: int, columns: int) -> None:
    with open(EXAMPLES / f"{name}.csv", newline="") as file:
        table = list(csv.reader(file))
    assert len(table) == rows + 1
    assert {len(row) for row in table} == {columns}


@pytest.mark.parametrize("path", sorted((EXAMPLES / "specs").glob("*.json")), ids=lambda path: path.stem)
def test_each_example_job_is_a_valid_body(path: Path) -> None:
    body = json.loads(path.read_text())
    spec = SPECS[body["kind"]].model_validate(body["spec"])
    if isinstance(spec, TrainSpec):
        algorithm(spec.algorithm).check_params(spec.params)
