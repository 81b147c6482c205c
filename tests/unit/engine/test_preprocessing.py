"""Columns as numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from headrace.errors import BadData
from headrace_workers.engine.algorithms.base import Encoding, SequenceEncoding, TextEncoding
from headrace_workers.engine.data.encoders import MAX_DEVIATIONS, NumberFitting
from headrace_workers.engine.data.images import ImageEncoder, ImageFitting
from headrace_workers.engine.data.preprocessing import Preprocessing, fit


def _fit(columns: dict[str, tuple[Any, pa.Array]], **encoding: Any) -> Preprocessing:
    batch = pa.record_batch({name: values for name, (_, values) in columns.items()})
    halves = [batch.slice(0, 3), batch.slice(3)]
    types = {name: type for name, (type, _) in columns.items()}
    return fit(halves, list(columns), types, Encoding(**encoding), also=lambda _: None)


def _encode(preprocessing: Preprocessing, **columns: Any) -> list[list[float]]:
    rows: list[list[float]] = preprocessing.encode(pa.record_batch(columns)).inputs["table"].tolist()
    return rows


def test_numbers_are_standardised_with_a_flag_where_one_was_missing() -> None:
    fitted = _fit({"x": ("number", pa.array([1.0, 2.0, 3.0, 4.0, 5.0, None, float("inf")]))})
    scale = 2**0.5
    assert _encode(fitted, x=pa.array([3.0, 3 + scale, None, float("nan")])) == [
        [0, 0],
        [pytest.approx(1), 0],
        [0, 1],
        [0, 1],
    ]


def test_what_is_far_beyond_training_stays_finite() -> None:
    fitted = _fit({"x": ("number", pa.array([1.0, 2.0, 3.0, 4.0]))})
    assert _encode(fitted, x=pa.array([1e308, -1e308])) == [[MAX_DEVIATIONS], [-MAX_DEVIATIONS]]


def test_a_constant_and_an_empty_column_are_harmless() -> None:
    fitted = _fit({"x": ("number", pa.array([0.1] * 5)), "e": ("number", pa.nulls(5, pa.float64()))})
    assert _encode(fitted, x=pa.array([0.1]), e=pa.array([7.0]))[0] == pytest.approx([0, 7, 0])


def test_numbers_that_overflow_are_refused() -> None:
    fitting = NumberFitting("big", "number")
    fitting.add(pa.array([1e308, -1e308, 1e308]))
    with pytest.raises(BadData, match="'big'"):
        fitting.encoder()


def test_batches_give_the_moments_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(1e6, 2, 10_000)
    fitting = NumberFitting("x", "number")
    for start in range(0, 10_000, 700):
        fitting.add(pa.array(values[start : start + 700]))
    encoder = fitting.encoder()
    assert encoder.mean == pytest.approx(values.mean(), rel=1e-12)
    assert encoder.scale == pytest.approx(values.std(), rel=1e-9)


@pytest.mark.parametrize(
    ("categories", "rows"),
    [
        ("one_hot", [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        ("codes", [[0], [1], [2], [3]]),
    ],
)
def test_missing_and_unseen_are_levels_of_their_own(categories: str, rows: Any) -> None:
    fitted = _fit({"c": ("category", pa.array(["b", "a", "b", "a", None]))}, categories=categories)
    assert _encode(fitted, c=pa.array(["a", "b", None, "new"])) == rows


def test_numbers_can_be_levels() -> None:
    fitted = _fit({"c": ("category", pa.array([7, 7, 90, None]))}, categories="codes")
    fitted.check(pa.schema([("c", pa.int64())]))
    assert _encode(fitted, c=pa.array([90, 7, None, 8])) == [[1], [0], [2], [3]]


def test_times_become_days_and_angles() -> None:
    day = 86_400_000_000
    times = pa.array([0, day, 2 * day, 3 * day, None], pa.timestamp("us", "UTC"))
    fitted = _fit({"t": ("timestamp", times)})
    # Monday, 1 January 2024, 06:00.
    row = _encode(fitted, t=pa.array([1_704_088_800_000_000], pa.timestamp("us", "UTC")))[0]
    assert row[2:4] == pytest.approx([1, 0], abs=1e-6)
    assert row[4:6] == pytest.approx([np.sin(2 * np.pi / 28), np.cos(2 * np.pi / 28)], abs=1e-6)
    assert row[6:8] == pytest.approx([np.sin(2 * np.pi * 0.25 / 366), 1], abs=1e-4)
    assert _encode(fitted, t=pa.array([None], pa.timestamp("us", "UTC")))[0] == [0, 1, 0, 0, 0, 0, 0, 0]


def test_it_comes_back_from_json_to_the_bit() -> None:
    fitted = _fit(
        {
            "x": ("number", pa.array([0.1, 0.2, 0.7, None])),
            "c": ("category", pa.array(["ä", "b", None, "b"])),
            "t": ("timestamp", pa.array([1, 2, 5, None], pa.timestamp("us", "UTC"))),
        }
    )
    assert Preprocessing.model_validate_json(fitted.model_dump_json()) == fitted


def _bytes(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_every_mode_of_image_becomes_grey() -> None:
    grey = Image.fromarray(np.full((4, 4), 200, np.uint8))
    encoder = ImageEncoder(column="i", height=4, width=4, channels=1)
    deep = Image.fromarray(np.full((4, 4), 200 * 257, np.uint16))
    for image in (grey, grey.convert("RGB"), grey.convert("P"), grey.convert("LA"), deep):
        assert encoder.decode(_bytes(image)).tolist() == np.full((4, 4, 1), 200).tolist()
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert encoder.decode(_bytes(clear)).min() == 255
    assert abs(int(encoder.decode(_bytes(grey.convert("CMYK"), "JPEG"))[0, 0, 0]) - 200) < 8


def test_a_photo_is_turned_as_its_camera_says() -> None:
    image = Image.fromarray(np.zeros((8, 16), np.uint8))
    image.paste(255, (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    encoder = ImageEncoder(column="i", height=16, width=8, channels=1)
    pixels = encoder.decode(_bytes(image, "JPEG", exif=exif, quality=95))
    assert pixels[2, 4, 0] > 200
    assert pixels[13, 4, 0] < 50


def test_the_size_is_the_median_of_the_training_images() -> None:
    sizes = [(40, 20), (50, 30), (400, 300)]
    fitting = ImageFitting("i", None, None)
    fitting.add(pa.array([_bytes(Image.new("L", size)) for size in sizes] + [b"broken", None]))
    encoder = fitting.encoder()
    assert (encoder.width, encoder.height, encoder.channels) == (50, 30, 1)
    large = ImageFitting("i", None, None)
    large.add(pa.array([_bytes(Image.new("RGB", (1280, 640)))]))
    assert large.encoder().shape == (64, 128, 3)


def test_each_column_has_its_place_in_the_inputs() -> None:
    """Shuffling a column's raw values and shuffling what stands at its place come to the same."""
    rng = np.random.default_rng(0)
    columns: dict[str, tuple[Any, pa.Array]] = {
        "first": ("text", pa.array([f"a{i % 5} b{i % 3}" for i in range(40)])),
        "x": ("number", pa.array([None if i % 7 == 0 else float(i) for i in range(40)])),
        "waves": ("sequence", pa.array([[float(i), 1.0][: 1 + i % 2] for i in range(40)])),
        "kind": ("category", pa.array([f"k{i % 3}" for i in range(40)])),
        "second": ("text", pa.array([f"c{i % 4}" for i in range(40)])),
        "tides": ("sequence", pa.array([[float(-i)] for i in range(40)])),
        "at": ("timestamp", pa.array([i * 86_400_000_000 for i in range(40)], pa.timestamp("us", "UTC"))),
    }
    batch = pa.record_batch({name: values for name, (_, values) in columns.items()})
    types = {name: type for name, (type, _) in columns.items()}
    encoding = Encoding(text=TextEncoding(50, min_count=1), sequence=SequenceEncoding())
    fitted = fit([batch], list(columns), types, encoding, also=lambda _: None)
    plain = fitted.encode(batch).inputs
    assert len(fitted.places) == len(columns)
    for number, (name, (input, place)) in enumerate(zip(columns, fitted.places, strict=True)):
        order = rng.permutation(40)
        raw = batch.set_column(number, name, batch.column(name).take(pa.array(order)))
        moved = {each: values.copy() for each, values in plain.items()}
        moved[input][..., place] = plain[input][..., place][order]
        found = fitted.encode(raw).inputs
        assert all(np.array_equal(found[each], moved[each], equal_nan=True) for each in plain), name
