"""Training that starts from a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

import learning
from headrace_workers.engine.package import Package

SPLIT = {"validation": 0.0, "test": 0.3, "by": "random"}
SMALL: dict[str, Any] = {"epochs": 1, "filters": [8], "batch_size": 16, "learning_rate": 0.01}


def _part(folder: Path, keep: Any) -> learning.Data:
    columns = learning.digits(folder / "all").table.to_pydict()
    rows = [i for i, label in enumerate(columns["label"]) if keep(i, label)]
    images, labels = ([columns[name][i] for i in rows] for name in ("image", "label"))
    return learning.write(folder, {"image": ("image", images), "label": ("category", labels)})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> learning.Ran:
    folder = tmp_path_factory.mktemp("base")
    data = _part(folder, lambda i, label: i % 2 and label != "9")
    return learning.train(folder, data, "cnn", "label", params={**SMALL, "epochs": 10}, split=SPLIT)


def _fine_tuned(folder: Path, data: learning.Data, base: Path | None, **params: Any) -> learning.Ran:
    return learning.train(folder, data, "cnn", "label", base=base, params={**SMALL, **params}, split=SPLIT)


def test_it_goes_on_from_what_the_base_knows_and_can_be_made_again(
    tmp_path: Path, base: learning.Ran
) -> None:
    data = _part(tmp_path, lambda i, label: not i % 2 and label in "01234")
    tuned, again, fresh = (
        _fine_tuned(tmp_path / name, data, path)
        for name, path in (("a", base.package), ("b", base.package), ("c", None))
    )
    accuracies = [run.done.result["metrics"]["accuracy"] for run in (tuned, fresh)]
    assert accuracies[0] > 0.9
    assert accuracies[0] > accuracies[1]
    assert tuned.done.result["weights_digest"] == again.done.result["weights_digest"]
    assert tuned.done.result["weights_digest"] != fresh.done.result["weights_digest"]
    manifest = Package.load(tuned.package).manifest
    # It still knows the classes that these rows do not have.
    assert manifest.classes == list("012345678")
    assert len(Package.load(fresh.package).manifest.classes or []) == 5


def test_with_a_new_class_all_but_the_output_is_taken_over(
    tmp_path: Path, base: learning.Ran, capfd: pytest.CaptureFixture[str]
) -> None:
    data = _part(tmp_path, lambda i, label: not i % 2)
    tuned = _fine_tuned(tmp_path / "a", data, base.package, learning_rate=1e-9)
    assert "all layers but output\n" in capfd.readouterr().err
    learned, before = (Package.load(run.package).predictor.learner.learned() for run in (tuned, base))
    assert learned["output/kernel"].shape[1] == 10
    assert np.allclose(learned["conv_1/kernel"], before["conv_1/kernel"], atol=1e-6)


def test_a_base_of_which_nothing_fits_is_refused(tmp_path: Path, base: learning.Ran) -> None:
    data = _part(tmp_path, lambda i, label: not i % 2 and label in "01")
    failed = _fine_tuned(tmp_path / "a", data, base.package, filters=[3], dense=[5]).failed
    assert failed.error == "BadSpec"
    assert "none of its layers" in failed.message


def test_a_regression_keeps_the_scale_of_its_base(tmp_path: Path) -> None:
    bunch = datasets.load_diabetes()
    data = learning.table(tmp_path / "data", bunch, "number")
    params: dict[str, Any] = {"epochs": 60, "hidden": [16], "early_stopping": None}
    base = learning.train(tmp_path / "base", data, "mlp", params=params, split=SPLIT)
    bunch.target = bunch.target / 10  # a target of another scale
    other = learning.table(tmp_path / "other", bunch, "number")
    params = {**params, "epochs": 1, "learning_rate": 1e-9}
    tuned = learning.train(tmp_path / "tuned", other, "mlp", base=base.package, params=params, split=SPLIT)
    before, after = (learning.predict(tmp_path / n, data, r.package) for n, r in (("p", base), ("q", tuned)))
    first, second = (learning.pq.read_table(run.output)["prediction"].to_numpy() for run in (before, after))
    assert np.allclose(first, second, rtol=1e-3)


def _layers(run: learning.Ran) -> dict[str, Any]:
    return Package.load(run.package).predictor.learner.learned()


def test_a_backbone_is_frozen_at_first_and_then_fine_tuned(tmp_path: Path, base: learning.Ran) -> None:
    data = _part(tmp_path, lambda i, label: not i % 2)

    def transferred(name: str, start: Path, **params: Any) -> learning.Ran:
        params = {"batch_size": 16, "learning_rate": 0.01, **params}
        return learning.train(
            tmp_path / name, data, "image_transfer", "label", base=start, params=params, split=SPLIT
        )

    frozen = transferred("a", base.package, epochs=4, frozen_epochs=4)
    assert np.array_equal(_layers(frozen)["conv_1/kernel"], _layers(base)["conv_1/kernel"])
    assert frozen.done.result["metrics"]["accuracy"] > 0.85
    tuned = transferred("b", base.package, epochs=4, frozen_epochs=2)
    again = transferred("c", base.package, epochs=4, frozen_epochs=2)
    assert not np.array_equal(_layers(tuned)["conv_1/kernel"], _layers(base)["conv_1/kernel"])
    assert tuned.done.result["weights_digest"] == again.done.result["weights_digest"]
    assert tuned.done.result["metrics"]["accuracy"] > 0.85
    further = transferred("d", tuned.package, epochs=1, frozen_epochs=1)
    assert np.array_equal(_layers(further)["conv_1/kernel"], _layers(tuned)["conv_1/kernel"])
    predicted = learning.predict(tmp_path / "p", data, further.package).output
    assert len(learning.pq.read_table(predicted)) == len(data.table)


@pytest.mark.parametrize("name", ["text_cnn", "lstm", "transformer", "keras"])
def test_a_text_network_goes_on_with_the_vocabulary_of_its_base(tmp_path: Path, name: str) -> None:
    layers = [
        {"class_name": "Embedding", "config": {"input_dim": 20, "output_dim": 4}},
        {"class_name": "GlobalAveragePooling1D", "config": {}},
        {"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}},
    ]
    keras = {"architecture": {"class_name": "Sequential", "config": {"layers": layers}}}
    params = keras if name == "keras" else {"embedding": 4, "vocabulary": 20}
    params = {**params, "epochs": 4, "learning_rate": 0.05}

    def run(folder: str, good: str, bad: str, base: Path | None = None, **other: Any) -> learning.Ran:
        texts = [f"{good} film", f"{bad} film", f"{good}, {good}", f"so {bad}"] * 40
        columns: dict[str, tuple[Any, Any]] = {
            "text": ("text", texts),
            "label": ("category", [str(good in text) for text in texts]),
        }
        data = learning.write(tmp_path / folder, columns)
        given = {**params, **other}
        return learning.train(tmp_path / folder, data, name, "label", base=base, params=given, split=SPLIT)

    base = run("a", "fine", "dull")
    # None of the words that tell are new ones: what tells them apart comes from the base alone.
    tuned = run("b", "fine", "dull", base.package, epochs=1, learning_rate=1e-9)
    assert tuned.done.result["metrics"]["accuracy"] == base.done.result["metrics"]["accuracy"] == 1.0
    other = run("c", "grand", "grim", base.package)
    before, after = (Package.load(each.package).predictor.preprocessing for each in (base, other))
    assert after == before
