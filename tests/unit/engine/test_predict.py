"""Predict and evaluate jobs, and the package that they read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import learning
from headrace_workers.engine.package import Package


def test_each_row_is_predicted_in_order_in_every_format(
    tmp_path: Path, cnn: learning.Ran, digits: learning.Data
) -> None:
    columns = ["prediction", "probability", "probability_3"]
    tables = {}
    for name in ("parquet", "csv", "ndjson"):
        ran = learning.predict(
            tmp_path / name, digits, cnn.package, format=name, keep=["label"], columns=columns
        )
        assert ran.done.result == {"rows": 1797, "format": name}
        tables[name] = ran.output
    found = pq.read_table(tables["parquet"])
    assert found.column_names == ["label", *columns]
    assert found["label"].equals(digits.table["label"])
    right = np.array(found["label"].to_pylist()) == np.array(found["prediction"].to_pylist())
    assert right.mean() > 0.93
    rows = found.to_pylist()
    assert [json.loads(line) for line in tables["ndjson"].read_text().splitlines()] == rows
    with tables["csv"].open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [(r["label"], r["prediction"]) for r in read] == [(r["label"], r["prediction"]) for r in rows]
    assert [float(r["probability_3"]) for r in read] == [r["probability_3"] for r in rows]


def test_a_row_is_predicted_alike_alone_and_among_others(cnn: learning.Ran, digits: learning.Data) -> None:
    package = Package.load(cnn.package)
    some = digits.table.select(["image"]).slice(100, 300)
    together = package.predict(some)
    assert together.column_names[:2] == ["prediction", "probability"]
    assert together.num_rows == 300
    for row in (0, 17, 299):
        assert package.predict(some.slice(row, 1)).equals(together.slice(row, 1))
    assert package.predict(some.slice(0, 0)).num_rows == 0


def test_images_that_cannot_be_read_have_no_prediction(
    tmp_path: Path, cnn: learning.Ran, digits: learning.Data
) -> None:
    images = digits.table["image"].to_pylist()[:100]
    images[7], images[40] = None, images[40][:60]
    data = learning.write(tmp_path / "data", {"image": ("image", images)})
    ran = learning.predict(tmp_path / "job", data, cnn.package, max_bad=0.02)
    found = pq.read_table(ran.output)
    assert found.num_rows == 100
    for column in ("prediction", "probability"):
        assert [i for i, v in enumerate(found[column].to_pylist()) if v is None] == [7, 40]
    failed = learning.predict(tmp_path / "strict", data, cnn.package, max_bad=0.01).failed
    assert failed.error == "BadData"
    assert "row 8, column 'image': there is no image" in failed.message


def test_evaluate_says_the_same_as_train_of_the_same_rows(
    tmp_path: Path, forest: learning.Ran, iris: learning.Data
) -> None:
    ran = learning.evaluate(tmp_path / "job", iris, forest.package)
    assert ran.done.result["metrics"] == ran.evaluation["metrics"]
    assert ran.evaluation["rows"] == 150
    predictions = pq.read_table(learning.predict(tmp_path / "predict", iris, forest.package).output)
    right = [a == b for a, b in zip(predictions["prediction"], iris.table["target"], strict=True)]
    assert ran.done.result["metrics"]["accuracy"] == pytest.approx(sum(right) / 150)


def test_a_class_that_training_never_saw_is_an_error_of_the_model(
    tmp_path: Path, forest: learning.Ran, iris: learning.Data
) -> None:
    rows = iris.table.to_pydict()
    columns = {c.name: (c.type, rows[c.name]) for c in iris.columns}
    columns["target"] = ("category", ["tulip"] * 30 + rows["target"][30:])
    ran = learning.evaluate(tmp_path, learning.write(tmp_path, columns), forest.package)
    assert ran.evaluation["confusion_matrix"]["labels"] == ["setosa", "versicolor", "virginica", "tulip"]
    assert sum(ran.evaluation["confusion_matrix"]["counts"][3]) == 30
    assert ran.done.result["metrics"]["accuracy"] < 0.85


def test_columns_that_do_not_fit_are_named(tmp_path: Path, forest: learning.Ran) -> None:
    data = learning.write(
        tmp_path / "data",
        {"sepal length (cm)": ("category", ["long"]), "sepal width (cm)": ("integer", [3])},
    )
    for kind in ("predict", "evaluate"):
        spec = {"model": "m@1", "dataset": "d@1"}
        failed = learning.run(tmp_path / kind, kind, spec, data, package=forest.package).failed
        assert failed.error == "BadData"
        assert "'sepal length (cm)' holds string, the model learned from number" in failed.message
        assert "'petal width (cm)' is missing" in failed.message
        assert "'sepal width (cm)'" not in failed.message


def test_outputs_that_do_not_exist_are_refused(
    tmp_path: Path, forest: learning.Ran, iris: learning.Data
) -> None:
    for wrong in ({"columns": ["probability_tulip"]}, {"keep": ["nothing"]}, {"keep": ["target", "target"]}):
        failed = learning.predict(tmp_path, iris, forest.package, **wrong).failed
        assert failed.error == "BadSpec"


def test_a_spreadsheet_runs_no_cell_of_a_csv(
    tmp_path: Path, forest: learning.Ran, iris: learning.Data
) -> None:
    cells = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "a=b", "", None, "'q"]
    rows = iris.table.slice(0, len(cells)).to_pydict()
    columns = {c.name: (c.type, rows[c.name]) for c in iris.columns}
    data = learning.write(tmp_path, columns | {"=note": ("text", cells)})
    ran = learning.predict(tmp_path / "job", data, forest.package, format="csv", keep=["=note"])
    with ran.output.open(newline="") as file:
        header, *read = csv.reader(file)
    assert header[0] == "'=note"
    assert [r[0] for r in read] == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "a=b", "", "", "'q"]


def test_null_columns_and_integers_fit_a_number(forest: learning.Ran, iris: learning.Data) -> None:
    table = iris.table.drop_columns(["target"]).slice(0, 3)
    table = table.set_column(0, table.column_names[0], pa.nulls(3))
    table = table.set_column(1, table.column_names[1], pa.array([3, 3, None], pa.int8()))
    assert Package.load(forest.package).predict(table)["prediction"].null_count == 0


def test_sequences_are_kept_where_the_format_has_them(
    tmp_path: Path, forest: learning.Ran, iris: learning.Data
) -> None:
    table = iris.table
    columns = {c.name: (c.type, table[c.name]) for c in iris.columns}
    lists = [[float(i), 0.5] if i else None for i in range(len(table))]
    data = learning.write(tmp_path / "data", {**columns, "list": ("sequence", lists)})
    for name in ("parquet", "ndjson"):
        ran = learning.predict(tmp_path / name, data, forest.package, format=name, keep=["list"])
        if name == "parquet":
            assert pq.read_table(ran.output)["list"].to_pylist() == lists
        else:
            kept = [json.loads(line)["list"] for line in ran.output.read_text().splitlines()]
            assert kept == lists
    failed = learning.predict(tmp_path / "csv", data, forest.package, format="csv", keep=["list"]).failed
    assert failed.message == "keep: column 'list' holds sequences, which the format csv cannot."
