"""Integrated gradients: planted evidence is what they point at, and all parts add up to the whole."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import learning
from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.explanation import pictures
from headrace_workers.engine.package import Package

GIVE_AWAY = "splendid"
LABELS = ["good" if i % 2 else "bad" for i in range(200)]
EPOCHS = {"epochs": 6, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> tuple[learning.Data, Path]:
    """Images of noise, of which those of one class have a bright corner, and a network that knows them."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 100, (200, 8, 8)).astype(np.uint8)
    pixels[1::2, :2, :2] = 255
    images = [learning.png(each) for each in pixels]
    folder = tmp_path_factory.mktemp("bright")
    data = learning.write(folder, {"image": ("image", images), "label": ("category", LABELS)})
    params = {"filters": [8], "dense": [], "dropout": 0.0, **EPOCHS}
    return data, learning.train(folder / "job", data, "cnn", "label", params=params).package


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    """Texts of words at random, of which those of one class have a word that gives it away, in any place."""
    rng = np.random.default_rng(0)
    texts = []
    for label in LABELS:
        words = [f"w{each}" for each in rng.integers(0, 30, rng.integers(3, 10))]
        if label == "good":
            words.insert(int(rng.integers(0, len(words))), GIVE_AWAY)
        texts.append(" ".join(words))
    columns: Any = {"review": ("text", texts), "label": ("category", LABELS)}
    return learning.write(tmp_path_factory.mktemp("reviews"), columns)


def _explained(folder: Path, data: learning.Data, package: Path, **spec: Any) -> dict[str, Any]:
    ran = learning.explain(
        folder, data, package, "integrated_gradients", **{"rows": 40, "examples": 6, **spec}
    )
    found: dict[str, Any] = ran.explanation["attributions"]
    assert found["completeness"]["largest_error"] < 0.06
    for example in found["examples"]:
        assert example["sum"] == pytest.approx(example["output"] - example["baseline"], abs=0.06)
    return found


def test_a_bright_corner_is_where_the_heat_is(tmp_path: Path, bright: tuple[learning.Data, Path]) -> None:
    found = _explained(tmp_path, *bright, label="good")
    heat = np.array(found["picture"]["values"])
    corner = heat[:3, :3].sum() / heat.sum()
    assert corner > 0.35  # 9 of 64 pixels are 0.14
    for example in found["examples"]:
        values = np.array(example["values"])
        assert values.sum() == pytest.approx(example["sum"], abs=0.02)
        if example["row"] % 2 == 0:  # the second row is the first with the corner
            assert example["output"] > 0.5
            assert values[:3, :3].sum() > 0.5 * values.sum() > 0
            picture = Image.open(io.BytesIO(base64.b64decode(example["heat"].partition(",")[2])))
            assert picture.size == (112, 112)
            red, _, blue = picture.getpixel((5, 5))
            assert red > blue


def test_a_word_that_gives_it_away_has_the_weight(tmp_path: Path, reviews: learning.Data) -> None:
    params = {"embedding": 8, "filters": 8, **EPOCHS}
    ran = learning.train(tmp_path / "job", reviews, "text_cnn", "label", params=params)
    found = _explained(tmp_path / "explain", reviews, ran.package)
    good = next(group for group in found["words"] if group["label"] == "good")
    assert good["words"][0]["word"] == GIVE_AWAY
    assert good["words"][0]["adds"] > 0.5
    assert abs(good["words"][1]["adds"]) < 0.25
    for example in found["examples"]:
        assert sum(each["adds"] for each in example["words"]) == pytest.approx(example["sum"], abs=1e-6)
        if example["label"] == "good":
            most = max(example["words"], key=lambda each: each["adds"])
            assert most["word"] == GIVE_AWAY
            assert most["known"]


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_networks_that_mask_padding_are_followed(tmp_path: Path, reviews: learning.Data, name: str) -> None:
    params = {"embedding": 8, "units": 8, **EPOCHS} | ({"dense": 16} if name == "transformer" else {})
    ran = learning.train(tmp_path / "job", reviews, name, "label", params=params)
    found = _explained(tmp_path / "explain", reviews, ran.package, rows=10, label="good")
    predicted = Package.load(ran.package).predict(reviews.table)["probability_good"].to_pylist()
    for example in found["examples"]:
        assert example["output"] == pytest.approx(predicted[example["row"] - 1], abs=1e-4)
    assert found["words"][0]["words"][0]["word"] == GIVE_AWAY


def test_columns_are_told_raw_and_one_that_informs_leads(tmp_path: Path) -> None:
    """A category of three levels and a number with missing values count as the one column that they were."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 300))
    kind = rng.integers(0, 3, 300)
    data = learning.write(
        tmp_path / "data",
        {
            "noise": ("number", [None if i % 9 == 0 else value for i, value in enumerate(noise.tolist())]),
            "kind": ("category", [f"k{each}" for each in kind]),
            "x": ("number", x),
            "y": ("number", 500 + 100 * x + 20 * (kind == 1)),
        },
    )
    package = learning.train(tmp_path / "job", data, "linear_regression", "y").package
    ran = learning.explain(tmp_path / "explain", data, package, "integrated_gradients", rows=100, examples=4)
    found = ran.explanation["attributions"]
    assert [each["feature"] for each in found["features"]] == ["x", "kind", "noise"]
    assert found["of"] == "value"
    # Of a sum each column adds its weight times the deviation from the mean, in the target's units.
    assert found["features"][0]["size"] == pytest.approx(100 * np.sqrt(2 / np.pi), rel=0.2)
    for example in found["examples"]:
        added = {each["feature"]: each["adds"] for each in example["features"]}
        values = {each["feature"]: each["value"] for each in example["features"]}
        row = example["row"] - 1
        assert values["x"] == pytest.approx(x[row])
        assert values["kind"] == f"k{kind[row]}"
        assert added["x"] == pytest.approx(100 * (x[row] - x.mean()), abs=25)
        assert sum(added.values()) == pytest.approx(example["output"] - example["baseline"], abs=1.0)
    assert ran.explanation["partial_dependence"][0]["feature"] == "x"


def test_what_has_no_gradients_is_refused(tmp_path: Path, forest: learning.Ran, iris: learning.Data) -> None:
    failed = learning.explain(tmp_path, iris, forest.package, "integrated_gradients").failed
    assert (failed.error, failed.message.partition(":")[0]) == ("BadSpec", "method")


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, bright: tuple[learning.Data, Path]) -> None:
    texts = [
        (
            learning.explain(tmp_path / str(i), *bright, "integrated_gradients", rows=8).out
            / "explanation.json"
        )
        for i in range(2)
    ]
    assert texts[0].read_bytes() == texts[1].read_bytes()


def test_large_heat_maps_are_summed_in_blocks() -> None:
    heat = np.arange(100 * 130, dtype=np.float64).reshape(100, 130)
    small = np.array(pictures.values(heat))
    assert small.shape == (34, 44)
    assert small.sum() == pytest.approx(heat.sum(), rel=1e-3)
    assert small[0, 1] == pytest.approx(heat[:3, 3:6].sum(), rel=1e-2)
    url = pictures.heated(np.zeros((300, 200, 3), np.uint8), np.zeros((300, 200)))
    assert Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size == (200, 300)
    assert Preprocessing(encoders=[]).inputs == {}
