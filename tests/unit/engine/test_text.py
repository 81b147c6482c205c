"""Text as token numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.errors import BadData
from headrace_workers.engine.algorithms.base import Encoding, TextEncoding
from headrace_workers.engine.data import text as text_module
from headrace_workers.engine.data.preprocessing import Preprocessing, fit
from headrace_workers.engine.data.text import TextEncoder, TextFitting, tokens


def _fitted(texts: Sequence[str | None], batch: int = 1000, **encoding: Any) -> TextEncoder:
    fitting = TextFitting("t", TextEncoding(**{"vocabulary": 100, "min_count": 1} | encoding))
    for start in range(0, len(texts), batch):
        fitting.add(pa.array(texts[start : start + batch], pa.string()))
    return fitting.encoder()


def _encode(encoder: TextEncoder, *texts: str | None) -> list[list[int]]:
    rows: list[list[int]] = encoder.encode(pa.array(texts, pa.string())).tolist()
    return rows


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It's GOOD, isn't it?!", ["it's", "good", ",", "isn't", "it", "?", "!"]),
        ("Straße \ufb01ne \uff26ULL cafe\u0301", ["strasse", "fine", "full", "café"]),
        ("电影很好 3.5", ["电", "影", "很", "好", "3", ".", "5"]),
        ("a\tb\n\n🙂 c_d", ["a", "b", "🙂", "c_d"]),
        ("x" * 1000, ["x" * 64]),
        (" \u3000\n", []),
    ],
)
def test_what_a_token_is(text: str, found: list[str]) -> None:
    assert list(tokens(text)) == found


def test_runs_of_tokens() -> None:
    assert list(tokens("a b c", 2)) == ["a", "b", "a b", "c", "b c"]
    assert list(tokens("a b c", 3))[-3:] == ["c", "b c", "a b c"]


def test_without_single_characters_ideographs_stay() -> None:
    assert list(tokens("I'm a fan, 5 of 很好!", 2, singles=False)) == [
        *("i'm", "fan", "i'm fan", "of", "fan of", "很", "of 很", "好", "很 好")
    ]


def test_the_frequent_tokens_are_known_ties_in_the_order_of_the_text() -> None:
    texts: list[str | None] = ["c b a", "a e", None, "a c b d"]
    assert _fitted(texts).tokens == ["a", "b", "c", "d", "e"]
    assert _fitted(texts, vocabulary=5).tokens == ["a", "b", "c"]
    assert _fitted(texts, min_count=2).tokens == ["a", "b", "c"]


def test_the_unknown_the_empty_and_the_missing() -> None:
    encoder = _fitted(["a a b", "a"], length=4)
    assert _encode(encoder, "b a", "a new a", "", None) == [
        [0, 0, 3, 2],
        [0, 2, 1, 2],
        [0, 0, 0, 1],
        [0, 0, 0, 1],
    ]


def test_it_is_filled_on_the_side_asked_for_and_cut_at_its_end() -> None:
    encoder = _fitted(["a b c", "a b", "a", "a"], length=2, padding="right")
    assert _encode(encoder, "a", "a b c") == [[2, 0], [2, 3]]
    assert encoder.cut == 0.25


def test_the_length_covers_most_training_texts() -> None:
    texts = ["a b c"] * 995 + ["a " * 50] * 5
    assert _fitted(texts).length == 3
    assert _fitted(texts, max_length=2).length == 2
    assert _fitted(["a " * 9]).length == 9


def test_training_rows_without_any_text_are_refused() -> None:
    with pytest.raises(BadData, match="'t'"):
        _fitted(["", None, "  "])


def test_counting_is_bounded_and_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MAX_COUNTED", 300)
    words = np.random.default_rng(0).zipf(1.3, 4000)
    texts = [" ".join(f"w{w}" for w in row) for row in words.reshape(-1, 10).tolist()]
    fitting = TextFitting("t", TextEncoding(20, min_count=1))
    for value in texts:
        fitting.add(pa.array([value]))
        assert len(fitting._counts) <= 300
    assert fitting.encoder() == _fitted(texts, vocabulary=20, batch=7)
    monkeypatch.undo()
    assert fitting.encoder().tokens[:6] == _fitted(texts, vocabulary=20).tokens[:6]


def test_it_is_a_column_type_that_comes_back_from_json() -> None:
    batch = pa.record_batch({"t": pa.array(["a b", "b", None])})
    encoding = Encoding(text=TextEncoding(10, min_count=1))
    fitted = fit([batch], ["t"], {"t": "text"}, encoding, also=lambda _: None)
    spec = fitted.inputs["text"]
    assert (spec.shape, spec.dtype) == ((2,), "int32")
    again = Preprocessing.model_validate_json(fitted.model_dump_json())
    assert again == fitted
    again.check(batch.schema)
    assert (again.encode(batch).inputs["text"] == fitted.encode(batch).inputs["text"]).all()
    with pytest.raises(BadData, match="learned from text"):
        again.check(pa.schema([("t", pa.int64())]))
