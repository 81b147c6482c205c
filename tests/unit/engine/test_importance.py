"""Permutation importance: scikit-learn's, of raw columns of any type, on rows that training never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.inspection import permutation_importance

import learning
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.package import Package


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    """400 rows whose label is told by ``shelf``, a category, and by ``weight`` where that is not missing."""
    rng = np.random.default_rng(0)
    shelf = rng.integers(0, 4, 400)
    weight = rng.normal(size=400)
    label = np.where(shelf % 2 == 0, weight > 0, shelf == 1)
    return learning.write(
        tmp_path_factory.mktemp("shop"),
        {
            "noise": ("number", rng.normal(size=400)),
            "shelf": ("category", [f"s{each}" for each in shelf]),
            "weight": ("number", [None if i % 20 == 0 else x for i, x in enumerate(weight.tolist())]),
            "label": ("category", ["yes" if each else "no" for each in label]),
        },
    )


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory, shop: learning.Data) -> Path:
    ran = learning.train(tmp_path_factory.mktemp("job"), shop, "random_forest", "label", params={"trees": 20})
    return ran.package


def test_it_is_that_of_scikit_learn_used_directly(
    tmp_path: Path, forest: learning.Ran, iris: learning.Data
) -> None:
    ran = learning.explain(tmp_path, iris, forest.package, repeats=5, seed=3)
    predictor = Package.load(forest.package).predictor
    table = predictor.preprocessing.encode(iris.table).inputs["table"].astype(np.float64)
    truth = predictor.target.encode(iris.table["target"].combine_chunks())
    direct = permutation_importance(
        predictor.learner.model, table, truth, scoring="accuracy", n_repeats=5, random_state=3
    )
    found = {entry["feature"]: entry for entry in ran.explanation["importance"]["features"]}
    for i, name in enumerate(predictor.preprocessing.columns):
        cost = found[name]["metrics"]["accuracy"]
        assert cost["mean"] == pytest.approx(direct.importances_mean[i], abs=1e-12)
        assert cost["std"] == pytest.approx(direct.importances_std[i], abs=1e-12)
        assert cost["interval"][0] <= cost["mean"] <= cost["interval"][1]
    means = [e["metrics"]["accuracy"]["mean"] for e in ran.explanation["importance"]["features"]]
    assert means == sorted(means, reverse=True)
    named = ran.done.result["strongest"]
    assert [entry["weight"] for entry in named] == means


def test_a_raw_column_is_shuffled_whole(tmp_path: Path, shop: learning.Data, version: Path) -> None:
    """A one-hot category and a number with its flag count as the one column that they were."""
    network = learning.train(tmp_path / "mlp", shop, "mlp", "label", params={"epochs": 20})
    for package in (version, network.package):
        found = learning.explain(tmp_path / package.parent.parent.name, shop, package).explanation
        features = found["importance"]["features"]
        assert [entry["feature"] for entry in features][2] == "noise"
        assert all(entry["metrics"]["accuracy"]["interval"][0] > 0.1 for entry in features[:2])
        assert features[2]["metrics"]["accuracy"]["mean"] < 0.05


def test_rows_that_were_trained_on_are_left_out(tmp_path: Path, shop: learning.Data, version: Path) -> None:
    found = learning.explain(tmp_path, shop, version, part="test").explanation
    manifest = Package.load(version).manifest
    assert found["rows"] == {
        "used": manifest.rows["test"],
        "of": manifest.rows["test"],
        "part": "test",
        "bad": 0,
    }


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, shop: learning.Data, version: Path) -> None:
    first, second, other = (
        learning.explain(tmp_path / str(i), shop, version, rows=50, repeats=3, seed=seed)
        for i, seed in enumerate((1, 1, 2))
    )
    texts = [(ran.out / "explanation.json").read_bytes() for ran in (first, second, other)]
    assert texts[0] == texts[1] != texts[2]
    fractions = first.fractions()
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 5


def test_features_can_be_chosen_and_images_be_shuffled(
    tmp_path: Path, shop: learning.Data, version: Path, cnn: learning.Ran, digits: learning.Data
) -> None:
    found = learning.explain(tmp_path / "one", shop, version, features=["weight"]).explanation
    assert [entry["feature"] for entry in found["importance"]["features"]] == ["weight"]
    wrong = learning.explain(tmp_path / "none", shop, version, features=["price"]).failed
    assert (wrong.error, "price" in wrong.message) == ("BadSpec", True)
    images = learning.explain(tmp_path / "images", digits, cnn.package, repeats=2).explanation
    (image,) = images["importance"]["features"]
    assert image["type"] == "image"
    assert image["metrics"]["accuracy"]["mean"] > 0.7


def test_a_regression_is_measured_in_the_units_of_its_target(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 300))
    data = learning.write(
        tmp_path / "data", {"x": ("number", x), "z": ("number", z), "y": ("number", 1000 + 50 * x)}
    )
    package = learning.train(tmp_path / "job", data, "random_forest", "y", params={"trees": 20}).package
    found = learning.explain(tmp_path / "explain", data, package).explanation["importance"]
    assert list(found["metrics"]) == ["r2", "mae", "rmse"]
    first, second = found["features"]
    assert (first["feature"], second["feature"]) == ("x", "z")
    # Two draws of a normal of deviation 50 are 50·2/√π apart.
    assert first["metrics"]["mae"]["mean"] == pytest.approx(56.4, rel=0.2)
    assert abs(second["metrics"]["mae"]["mean"]) < 2


def test_rows_without_a_known_target_or_a_readable_image_are_not_explained(
    tmp_path: Path, cnn: learning.Ran, digits: learning.Data
) -> None:
    images, labels = (digits.table[name].to_pylist()[:60] for name in ("image", "label"))
    images[5], labels[7], labels[9] = b"no image", None, "eleven"
    data = learning.write(tmp_path / "data", {"image": ("image", images), "label": ("category", labels)})
    rows = learning.explain(tmp_path / "job", data, cnn.package, repeats=2).explanation["rows"]
    assert rows == {"used": 57, "of": 58, "part": "all", "bad": 1}
    nothing = learning.write(
        tmp_path / "none", {"image": ("image", images[:3]), "label": ("category", ["x"] * 3)}
    )
    failed = learning.explain(tmp_path / "failed", nothing, cnn.package).failed
    assert failed.error == "BadData"
    assert failed.message.startswith("There is no row to explain")


def test_few_rows_are_drawn_from_all_parts_of_the_file(
    tmp_path: Path, shop: learning.Data, version: Path
) -> None:
    from headrace.specs.jobs import ExplainSpec
    from headrace_workers.engine.explanation.rows import draw

    spec = ExplainSpec(model="m@1", dataset="d@1", method="permutation", part="all", rows=40)
    reader = Reader(shop.path, shop.columns)
    drawn = draw(reader, Package.load(version), spec, ["noise"], with_truth=True, progress=lambda _: None)
    assert len(drawn) == 40
    assert drawn.numbers.min() < 80
    assert drawn.numbers.max() > 320
    assert np.all(np.diff(drawn.numbers) > 0)
    assert drawn.raw["noise"].to_pylist() == shop.table["noise"].take(drawn.numbers).to_pylist()
