"""Sequences of numbers: how they are encoded, and networks that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import learning
from headrace.errors import BadData
from headrace_workers.engine.algorithms.base import Encoding, SequenceEncoding
from headrace_workers.engine.algorithms.keras import KerasParams
from headrace_workers.engine.data.hashing import hash_rows
from headrace_workers.engine.data.preprocessing import Preprocessing, fit
from headrace_workers.engine.package import Package

LISTS = [[1.0, 2.0, 3.0], [2.0], None, [], [0.0, 4.0]]
STACKED = {
    "class_name": "Sequential",
    "config": {
        "layers": [
            {"class_name": "InputLayer", "config": {"batch_shape": [None, None, 1]}},
            {"class_name": "LSTM", "config": {"units": 64, "return_sequences": True}},
            {"class_name": "LSTM", "config": {"units": 64}},
            {"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}},
        ]
    },
}


def _fitted(lists: Any, names: tuple[str, ...] = ("s",), **encoding: Any) -> Preprocessing:
    values = pa.array(lists, pa.list_(pa.float64()))
    batch = pa.record_batch(dict.fromkeys(names, values))
    wanted = Encoding(sequence=SequenceEncoding(**encoding))
    return fit([batch], names, dict.fromkeys(names, "sequence"), wanted, also=lambda _: None)


def _encode(fitted: Preprocessing, lists: Any) -> np.ndarray[Any, Any]:
    batch = pa.table({name: pa.array(lists, pa.list_(pa.float64())) for name in fitted.columns})
    fitted.check(batch.schema)
    return fitted.encode(batch).inputs["sequence"]


@pytest.mark.parametrize("padding", ["left", "right"])
def test_standardised_filled_up_and_never_zero_where_a_value_stands(padding: str) -> None:
    fitted = _fitted(LISTS, padding=padding)
    found = _encode(fitted, LISTS)
    assert found.shape == (5, 3, 1)
    all_values = np.array([1, 2, 3, 2, 0, 4], float)
    deviation = all_values.std()
    assert found[0, :, 0] == pytest.approx([-1 / deviation, 1e-6, 1 / deviation], abs=1e-7)
    there = [[1, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0]]
    if padding == "left":
        there = [row[::-1] for row in there]
    assert (found[:, :, 0] != 0).astype(int).tolist() == there


def test_of_a_longer_sequence_the_last_values_are_read() -> None:
    fitted = _fitted(LISTS, length=2, padding="right")
    values = _encode(fitted, [[9.0, 9.0, 1.0, 3.0], [3.0]])[:, :, 0]
    assert values[0, 0] == -values[0, 1]
    assert values[1].tolist() == [values[0, 1], 0]
    encoder = fitted.encoders[0]
    assert encoder.kind == "sequence"
    assert encoder.cut == 0.2


def test_what_is_no_finite_number_is_as_the_mean() -> None:
    found = _encode(_fitted([[0.0, 2.0]]), [[np.nan, 2.0], [np.inf, None]])[:, :, 0]
    assert found == pytest.approx(np.array([[1e-6, 1], [1e-6, 1e-6]]))


def test_columns_stand_side_by_side() -> None:
    fitted = _fitted(LISTS, ("a", "b"))
    assert fitted.inputs["sequence"].shape == (3, 2)
    found = _encode(fitted, LISTS)
    assert (found[:, :, 0] == found[:, :, 1]).all()
    again = Preprocessing.model_validate_json(fitted.model_dump_json())
    assert (_encode(again, LISTS) == found).all()


def test_slices_of_a_batch_are_encoded_as_the_whole() -> None:
    fitted = _fitted(LISTS)
    table = pa.table({"s": pa.array(LISTS, pa.list_(pa.float64()))})
    whole = fitted.encode(table).inputs["sequence"]
    assert (fitted.encode(table.slice(3, 2)).inputs["sequence"] == whole[3:]).all()


def test_the_length_covers_most_training_sequences() -> None:
    lists = [[1.0, 2.0]] * 995 + [[1.0] * 60] * 5
    assert _fitted(lists).inputs["sequence"].shape == (2, 1)
    assert _fitted([[1.0] * 60], max_length=50).inputs["sequence"].shape == (50, 1)


def test_training_rows_without_any_value_are_refused() -> None:
    with pytest.raises(BadData, match="'s'"):
        _fitted([[], None])


@pytest.fixture(scope="module")
def rising(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    """Noise of 5 to 12 values around a line that rises or falls; beside it the slope."""
    draw = np.random.default_rng(0)
    slopes = draw.uniform(-1, 1, 400)
    lists = [
        (s * np.arange(n) + draw.normal(0, 0.3, n) + draw.normal()).tolist()
        for s, n in zip(slopes, draw.integers(5, 13, 400), strict=True)
    ]
    way = np.where(slopes > 0, "up", "down").tolist()
    columns = {"values": ("sequence", lists), "way": ("category", way), "slope": ("number", slopes)}
    return learning.write(tmp_path_factory.mktemp("rising"), columns)  # type: ignore[arg-type]


@pytest.mark.parametrize("masked", [True, False])
def test_two_stacked_lstm_and_a_dense_softmax_train_from_their_config(
    tmp_path: Path, rising: learning.Data, masked: bool
) -> None:
    network: dict[str, Any] = {**STACKED, "config": {"layers": [*STACKED["config"]["layers"]]}}
    if masked:
        network["config"]["layers"].insert(1, {"class_name": "Masking", "config": {}})
    params = {"architecture": network, "epochs": 4, "learning_rate": 0.01}
    run = learning.train(tmp_path / "a", rising, "keras", "way", params=params, features=["values"])
    assert run.done.result["metrics"]["accuracy"] > 0.9
    asked = pa.table({"values": [[0.0, 1.0, 2.0, 3.0, 4.0], [4, 3, 2, 1, 0, -1, -2, -3, -4.0, -5, -6]]})
    assert Package.load(run.package).predict(asked)["prediction"].to_pylist() == ["up", "down"]


def test_lstm_learns_a_number_from_sequences(tmp_path: Path, rising: learning.Data) -> None:
    params = {"units": 8, "epochs": 8, "learning_rate": 0.03, "dropout": 0.0, "early_stopping": None}
    run = learning.train(tmp_path / "a", rising, "lstm", "slope", params=params, features=["values"])
    assert run.done.result["metrics"]["r2"] > 0.7
    seen = next(e for e in run.evaluation["columns"] if e["column"] == "values")
    assert seen["encoded_as"] == "the last 12 values, standardised"


@pytest.mark.parametrize(
    ("first", "shape", "said"),
    [
        ("Conv1D", [None, None, 1], None),
        ("GRU", None, None),
        ("LSTM", [None, 12, 2], "the network takes 2 values a step, of 1 sequences"),
    ],
)
def test_which_networks_read_sequences(first: str, shape: Any, said: str | None) -> None:
    from headrace.specs.base import Column

    kernel = {"filters": 4, "kernel_size": 3} if first == "Conv1D" else {"units": 4}
    layers: list[Any] = [{"class_name": first, "config": kernel}]
    if first == "Conv1D":
        layers.append({"class_name": "GlobalMaxPooling1D", "config": {}})
    layers.append({"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}})
    if shape:
        layers.insert(0, {"class_name": "InputLayer", "config": {"batch_shape": shape}})
    params = KerasParams(architecture={"class_name": "Sequential", "config": {"layers": layers}})
    assert params.narrows()["features"] == ("sequence",)
    found = params.misfit_columns([Column(name="values", type="sequence", nullable=False)])
    assert found == ({"architecture": said} if said else {})


def test_sequences_are_hashed_by_value_place_and_length() -> None:
    lists = pa.array([[1.0, 2.0], [2.0, 1.0], [1.0], [], None, [1.0, 2.0]], pa.list_(pa.float64()))
    batch = pa.record_batch({"s": lists})
    hashes = hash_rows(batch, ["s"]).tolist()
    assert len(set(hashes[:5])) == 5
    assert hashes[5] == hashes[0]
    assert hash_rows(batch.slice(3), ["s"]).tolist() == hashes[3:]
