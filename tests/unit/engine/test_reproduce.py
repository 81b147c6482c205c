"""Versions made again: the same to the bit, or what differs, where, and by how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import learning
from headrace.specs.algorithms import algorithm
from headrace_workers.engine import comparison, environment


def _again(folder: Path, data: learning.Data, package: Path, name: str, **spec: Any) -> dict[str, Any]:
    resolved = learning.train_spec(data, name, **spec)
    ran = learning.run(folder, "reproduce", resolved, data, package=package, code=algorithm(name).code)
    return ran.done.result


def test_the_same_comes_out_again(tmp_path: Path, iris: learning.Data, forest: learning.Ran) -> None:
    verdict = _again(tmp_path, iris, forest.package, "random_forest", params={"trees": 20})
    digest = forest.done.result["weights_digest"]
    assert verdict == {
        "identical": True,
        "weights_digest": digest,
        "expected_weights_digest": digest,
        "differences": [],
        "arrays": [],
        "differing_arrays": 0,
    }


def test_another_package_or_processor_is_named_even_if_it_changes_nothing(
    tmp_path: Path, iris: learning.Data, forest: learning.Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = environment.describe(1, type(forest))
    packages = {name: version for name, version in then["packages"].items() if name != "pillow"}
    now = environment.installation() | {
        "packages": packages | {"numpy": "2.0.0"},
        "cpu_flags": [*then["cpu_flags"], "avx9000"],
    }
    monkeypatch.setattr(environment, "installation", lambda: now)
    verdict = _again(tmp_path, iris, forest.package, "random_forest", params={"trees": 20})
    assert verdict["identical"]
    assert verdict["differences"] == [
        f"environment.packages.numpy: {then['packages']['numpy']} then, 2.0.0 now",
        f"environment.packages.pillow: {then['packages']['pillow']} then, gone now",
        "environment.cpu_flags: with avx9000 now",
    ]


def test_a_changed_row_is_traced_to_the_column_and_the_arrays(
    tmp_path: Path, iris: learning.Data, forest: learning.Ran
) -> None:
    table = iris.table
    values = table.column(0).to_numpy().copy()
    values[70] = 7.77
    changed = table.set_column(0, table.column_names[0], pa.array(values))
    pq.write_table(changed, tmp_path / "changed.parquet")
    data = learning.Data(tmp_path / "changed.parquet", iris.columns)
    verdict = _again(tmp_path / "job", data, forest.package, "random_forest", params={"trees": 20})
    assert not verdict["identical"]
    assert verdict["weights_digest"] != verdict["expected_weights_digest"]
    names = [array["name"] for array in verdict["arrays"]]
    assert names == ["node_count", "children_left", "children_right", "feature", "threshold", "value"]
    threshold = verdict["arrays"][4]
    assert 0 < threshold["differing"] < threshold["values"]
    assert 0 < threshold["largest"] < 10
    mean, scale = verdict["differences"]
    assert mean.startswith("column 'sepal length (cm)'.mean: 5.8")
    assert scale.startswith("column 'sepal length (cm)'.scale: 0.84")


def test_how_much_arrays_differ() -> None:
    then = {
        "same": np.arange(3),
        "moved": np.zeros((2, 3), np.float32),
        "cut": np.zeros(4),
        "gone": np.zeros(2),
    }
    now = {
        "same": np.arange(3),
        "moved": np.zeros((2, 3), np.float32),
        "cut": np.zeros(3),
        "new": np.zeros(5),
    }
    now["moved"][0, 1], now["moved"][1, 2] = 0.5, -2.0
    now["moved"][0, 0] = -0.0
    assert list(comparison._array_changes(then, now)) == [
        {"name": "moved", "values": 6, "differing": 3, "largest": 2.0},
        {"name": "cut", "values": 4, "differing": 4, "largest": None},
        {"name": "gone", "values": 2, "differing": 2, "largest": None},
        {"name": "new", "values": 5, "differing": 5, "largest": None},
    ]
    nan = {"a": np.array([np.nan, 1.0])}
    assert list(comparison._array_changes(nan, nan)) == []
    (change,) = comparison._array_changes(nan, {"a": np.array([1.0, 1.0])})
    assert (change["differing"], change["values"]) == (1, 2)


def test_a_long_list_of_differences_is_cut_short() -> None:
    differences = [f"param {i}" for i in range(200)]
    shown = comparison._shown(differences)
    assert shown[:-1] == differences[: comparison.MAX_SHOWN]
    assert shown[-1] == f"and {200 - comparison.MAX_SHOWN} more"
