"""Learning without labels: clusters, embeddings, anomaly scores, and samples back in raw columns."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn import cluster, datasets, decomposition, metrics
from sklearn.preprocessing import StandardScaler

import learning
from headrace.specs.algorithms import algorithm
from headrace.specs.base import ColumnType
from headrace.specs.jobs import Sample
from headrace_workers.engine import online, sampling
from headrace_workers.engine.algorithms.base import Encoding
from headrace_workers.engine.data import preprocessing
from headrace_workers.engine.data.decoding import decode
from headrace_workers.engine.package import Package

WHOLE = {"by": "random", "validation": 0.0, "test": 0.3}


def _train(folder: Path, data: learning.Data, name: str, task: str, **spec: Any) -> learning.Ran:
    target = spec.pop("target", None)
    resolved = learning.train_spec(data, name, task=task, split=WHOLE, **spec) | {"target": target}
    return learning.run(folder, "train", resolved, data, code=algorithm(name).code)


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory, iris: learning.Data) -> learning.Ran:
    folder = tmp_path_factory.mktemp("kmeans")
    return _train(folder, iris, "kmeans", "clustering", target="target", params={"clusters": 3})


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    """Rows on a line in three columns, every tenth beside it."""
    rng = np.random.default_rng(0)
    place = rng.normal(0, 10, 400)
    rows = np.stack([place, 2 * place, -place], axis=1) + rng.normal(0, 0.1, (400, 3))
    planted = np.arange(400) % 10 == 0
    rows[planted, 1] = rng.normal(0, 20, 40)
    columns: dict[str, tuple[ColumnType, Any]] = {
        name: ("number", rows[:, i]) for i, name in enumerate("abc")
    }
    return learning.write(tmp_path_factory.mktemp("planted"), columns | {"target": ("boolean", planted)})


@pytest.fixture(scope="module")
def anomalies(tmp_path_factory: pytest.TempPathFactory, planted: learning.Data) -> learning.Ran:
    params = {"components": 1, "contamination": 0.1}
    folder = tmp_path_factory.mktemp("pca")
    return _train(folder, planted, "pca", "anomaly", target="target", params=params)


def test_clusters_are_evaluated_as_scikit_learn_does(
    tmp_path: Path, iris: learning.Data, clusters: learning.Ran
) -> None:
    output = pq.read_table(learning.predict(tmp_path, iris, clusters.package, keep=["target"]).output)
    own = output["cluster"].to_numpy()
    done = learning.evaluate(tmp_path / "whole", iris, clusters.package)
    found = done.evaluation["metrics"]
    truth = output["target"].to_pylist()
    assert found["adjusted_rand"] == pytest.approx(metrics.adjusted_rand_score(truth, own))
    assert found["mutual_information"] == pytest.approx(metrics.normalized_mutual_info_score(truth, own))
    predictor = Package.load(clusters.package).predictor
    table = predictor.preprocessing.encode(iris.table).inputs["table"].astype(np.float64)
    assert found["silhouette"] == pytest.approx(metrics.silhouette_score(table, own))
    assert found["inertia"] == pytest.approx(np.square(output["distance"].to_numpy()).mean())
    assert [entry["rows"] for entry in done.evaluation["clusters"]] == np.bincount(own).tolist()
    assert done.evaluation["verdict"]["beats_baseline"]
    for name, (low, high) in done.evaluation["intervals"]["metrics"].items():
        assert low <= found[name] <= high


def test_labels_change_nothing_that_is_learned(
    tmp_path: Path, iris: learning.Data, clusters: learning.Ran
) -> None:
    without = _train(tmp_path, iris, "kmeans", "clustering", params={"clusters": 3})
    assert without.done.result["weights_digest"] == clusters.done.result["weights_digest"]
    assert "adjusted_rand" not in without.evaluation["metrics"]
    assert "silhouette" in without.evaluation["verdict"]["text"]


def test_kmeans_is_as_near_as_the_librarys(iris: learning.Data, clusters: learning.Ran) -> None:
    table = StandardScaler().fit_transform(datasets.load_iris().data)
    theirs = cluster.KMeans(3, n_init=10, random_state=0).fit(table)
    found = clusters.evaluation["metrics"]["inertia"]
    assert found == pytest.approx(theirs.inertia_ / len(table), rel=0.25)


def test_the_threshold_is_above_all_but_the_contamination(
    tmp_path: Path, planted: learning.Data, anomalies: learning.Ran
) -> None:
    output = pq.read_table(learning.predict(tmp_path, planted, anomalies.package).output)
    assert output.column_names == ["anomaly_score", "anomaly"]
    scores, flagged = output["anomaly_score"].to_numpy(), output["anomaly"].to_numpy()
    threshold = Package.load(anomalies.package).predictor.target.threshold
    assert (flagged == (scores > threshold)).all()
    assert 0.07 < flagged.mean() < 0.13
    found = learning.evaluate(tmp_path / "whole", planted, anomalies.package).evaluation
    truth = planted.table["target"].to_numpy()
    assert found["metrics"]["pr_auc"] == pytest.approx(metrics.average_precision_score(truth, scores))
    assert found["metrics"]["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert found["metrics"]["precision"] == pytest.approx(metrics.precision_score(truth, flagged))
    assert found["metrics"]["recall"] == pytest.approx(metrics.recall_score(truth, flagged))
    assert found["metrics"]["pr_auc"] > 0.9 > 0.5 > found["distance_from_mean"]["pr_auc"]
    assert found["verdict"]["beats_baseline"]
    assert found["baseline"]["metrics"] == {"roc_auc": 0.5, "pr_auc": pytest.approx(0.1)}


def test_a_score_is_the_error_of_what_the_librarys_components_make_again(
    planted: learning.Data, anomalies: learning.Ran
) -> None:
    predictor = Package.load(anomalies.package).predictor
    table = predictor.preprocessing.encode(planted.table).inputs["table"].astype(np.float64)
    model = predictor.learner.model  # type: ignore[attr-defined]
    assert isinstance(model, decomposition.PCA)
    again = model.inverse_transform(model.transform(table))
    scores = predictor.outputs(planted.table).values[:, 0]
    np.testing.assert_allclose(scores, np.square(table - again).mean(axis=1), atol=1e-12)


def test_an_embedding_says_how_much_it_explains(tmp_path: Path, iris: learning.Data) -> None:
    ran = _train(tmp_path, iris, "pca", "embedding", params={"components": 2})
    outputs = [column["name"] for column in ran.done.result["signature"]["outputs"]]
    assert outputs == ["embedding_0", "embedding_1", "reconstruction_error"]
    predictor = Package.load(ran.package).predictor
    model = predictor.learner.model  # type: ignore[attr-defined]
    # On the test rows it is not far from what the library says of the training rows.
    explained = ran.evaluation["metrics"]["explained_variance"]
    assert explained == pytest.approx(model.explained_variance_ratio_.sum(), abs=0.05)
    instances = iris.table.drop_columns(["target"]).slice(0, 2).to_pylist()
    predictions = online.answer(predictor, instances)["predictions"]
    assert [len(each["embedding"]) for each in predictions] == [2, 2]


def test_anomalies_are_told_by_what_usual_rows_do_not_need(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 9)) + rng.normal(0, 0.01, (300, 9))
    columns: dict[str, tuple[ColumnType, Any]] = {f"x{i}": ("number", x[:, i]) for i in range(9)}
    data = learning.write(tmp_path, columns)

    def components(name: str, features: list[str]) -> int:
        ran = _train(tmp_path / f"{name}{len(features)}", data, name, "anomaly", features=features)
        learner: Any = Package.load(ran.package).predictor.learner
        return int(learner.model.n_components_ if name == "pca" else learner.components)

    whole = StandardScaler().fit_transform(x)
    assert components("pca", list(columns)) == decomposition.PCA(0.95).fit(whole).n_components_
    assert components("pca", ["x0", "x1"]) == 1
    assert components("autoencoder", list(columns)) == 3
    failed = _train(tmp_path / "one", data, "pca", "anomaly", features=["x0"]).failed
    assert "of one encoded column" in failed.message


@pytest.mark.parametrize(
    ("name", "task", "params", "reason"),
    [
        ("kmeans", "clustering", {"clusters": 200}, "clusters: 200 are more than the 105 training rows"),
        ("pca", "embedding", {"components": 5}, "components: 5 are more than the 4 encoded columns"),
    ],
)
def test_what_only_the_rows_show_is_said(
    tmp_path: Path, iris: learning.Data, name: str, task: str, params: dict[str, int], reason: str
) -> None:
    failed = _train(tmp_path, iris, name, task, params=params).failed
    assert failed.error == "BadSpec"
    assert reason in failed.message


def test_decoding_is_encoding_the_other_way(tmp_path: Path) -> None:
    columns: dict[str, tuple[ColumnType, Any]] = {
        "number": ("number", [1.5, None, -2.0]),
        "integer": ("integer", [3, 5, 9]),
        "boolean": ("boolean", [True, False, None]),
        "category": ("category", ["b", None, "a"]),
        "time": ("timestamp", [0, 86_400_000_000, 3_600_000_000]),
        "image": ("image", [learning.png(np.full((2, 3), value, np.uint8)) for value in (0, 100, 255)]),
    }
    table = learning.write(tmp_path, columns).table.combine_chunks()
    (batch,) = table.to_batches()
    types = {name: type for name, (type, _) in columns.items()}
    fitted = preprocessing.fit([batch], list(columns), types, Encoding(), lambda batch: None)
    inputs = fitted.encode(batch).inputs
    flat = [inputs[name].reshape(3, -1) / (255 if name == "image" else 1) for name in fitted.inputs]
    found = decode(fitted, np.concatenate(flat, axis=1))
    for name in ("integer", "boolean", "category"):
        assert found[name].to_pylist() == columns[name][1]
    assert found["number"].to_pylist() == [pytest.approx(1.5), None, pytest.approx(-2.0)]
    off = pa.compute.subtract(found["time"].cast(pa.int64()), pa.array(columns["time"][1])).to_numpy()
    assert np.abs(off).max() < 60_000_000
    assert [np.asarray(Image.open(io.BytesIO(file)))[0, 0] for file in found["image"].to_pylist()] == [
        0,
        100,
        255,
    ]


class Drawing:
    """A learner that draws numbers."""

    def sample(self, count: int, rng: np.random.Generator) -> Any:
        return rng.random((count, 1), np.float32)


def test_more_samples_begin_with_those_of_fewer(iris: learning.Data) -> None:
    (batch,) = iris.table.select(["sepal length (cm)"]).combine_chunks().to_batches()
    fitted = preprocessing.fit(
        [batch], batch.schema.names, {batch.schema.names[0]: "number"}, Encoding(), print
    )

    class Known:
        learner = Drawing()
        preprocessing = fitted
        signature = {"inputs": fitted.signature}

    def drawn(rows: int, seed: int) -> pa.Table:
        found = sampling.draw(Known(), Sample(rows=rows, seed=seed), None)  # type: ignore[arg-type]
        return pa.Table.from_batches(found.batches, found.schema)

    assert drawn(20_000, 1).slice(0, 50).equals(drawn(50, 1))
    assert not drawn(50, 1).equals(drawn(50, 2))
