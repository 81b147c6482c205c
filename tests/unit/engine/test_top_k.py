"""Lists of items beside scikit-learn and by hand; ids, pairs that were met, negatives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import ndcg_score

from headrace_workers.engine.data.ids import MISSING, IdFitting
from headrace_workers.engine.data.seen import Seen
from headrace_workers.engine.evaluation import top_k
from headrace_workers.engine.training.negatives import VALIDATION, Negatives


@pytest.mark.parametrize("k", [1, 3, 10, 20])
def test_metrics_are_those_of_scikit_learn_and_of_counting(k: int) -> None:
    rng = np.random.default_rng(0)
    relevance = rng.random((50, 20)) < 0.2
    relevance[:, 0] = True  # every user has one
    scores = rng.random((50, 20))
    order = np.argsort(-scores, axis=1)
    hits = np.take_along_axis(relevance, order, axis=1)
    found = top_k.scores(hits, relevance.sum(axis=1), k)
    assert found["ndcg"].mean() == pytest.approx(ndcg_score(relevance, scores, k=k))
    top = [set(row[:k]) for row in order]
    wanted = [set(np.flatnonzero(row)) for row in relevance]
    pairs = list(zip(top, wanted, strict=True))
    assert found["precision"] == pytest.approx([len(a & b) / k for a, b in pairs])
    assert found["recall"] == pytest.approx([len(a & b) / len(b) for a, b in pairs])
    assert top_k.coverage(order, k, 25) == len(set().union(*top)) / 25


def test_a_list_that_is_too_short_is_not_excused() -> None:
    found = top_k.scores(np.array([[True, False]]), np.array([4]), 10)
    assert found["precision"] == [0.1]
    assert found["recall"] == [0.25]
    assert found["ndcg"] == pytest.approx(1 / (1 + 1 / np.log2(3) + 1 / 2 + 1 / np.log2(5)))
    assert top_k.coverage(np.array([[1, -1]]), 10, 4) == 0.25


@pytest.mark.parametrize(
    ("kind", "values", "others"),
    [("integer", [30, 4, 4, None], [4, 7, None, 30]), ("text", ["b", "a", "a", None], ["a", "c", None, "b"])],
)
def test_ids_are_numbered_in_order_whatever_the_order_of_rows(kind: str, values: list, others: list) -> None:
    found = []
    for rows in (values, values[::-1]):
        fitting = IdFitting("who", kind)  # type: ignore[arg-type]
        for value in rows:
            fitting.add(pa.array([value], pa.int64() if kind == "integer" else pa.string()))
        found.append(fitting.encoder())
    assert found[0] == found[1]
    encoder = found[0]
    assert encoder.encode(pa.array(others)).tolist() == [0, encoder.unknown, MISSING, 1]
    assert encoder.unknown == 2


def test_whole_numbers_may_come_as_floats_and_others_are_unknown() -> None:
    fitting = IdFitting("who", "integer")
    fitting.add(pa.array([2**40, 5]))
    encoder = fitting.encoder()
    assert encoder.encode(pa.array([5.0, 5.5, float(2**40), None])).tolist() == [0, 2, 1, MISSING]


def test_pairs_that_were_met_are_kept_once_and_without_strangers() -> None:
    pairs = [([2, 0, 2, 3], [1, 4, 1, 0]), ([2, 0, -1], [0, 5, 1])]
    seen = Seen.collect(((np.int32(u), np.int32(i)) for u, i in pairs), users=3, items=5)
    assert seen.starts.tolist() == [0, 1, 1, 3]
    assert seen.items.tolist() == [4, 0, 1]
    places, items = seen.of(np.array([3, 2, 1, 0]))
    assert list(zip(places.tolist(), items.tolist(), strict=True)) == [(1, 0), (1, 1), (3, 4)]
    assert seen.popularity(5).tolist() == [1, 1, 0, 0, 1]
    seen.check(3, 5)
    for users, items_ in ((2, 5), (3, 4)):
        with pytest.raises(ValueError, match="seen"):
            seen.check(users, items_)


def test_negatives_are_a_matter_of_seed_epoch_and_row_alone() -> None:
    negatives = Negatives(seed=3, items=50, count=4)
    whole = negatives.draw(7, np.arange(1000))
    order = np.random.default_rng(0).permutation(1000)
    assert (negatives.draw(7, order) == whole[order]).all()
    assert (negatives.draw(7, np.array([12])) == whole[12]).all()
    for other in (negatives.draw(8, np.arange(1000)), Negatives(4, 50, 4).draw(7, np.arange(1000))):
        assert 0.01 < (other == whole).mean() < 0.03  # by chance, one in fifty
    assert negatives.draw(VALIDATION, np.arange(3)).shape == (3, 4)
    counts = np.bincount(whole.ravel(), minlength=50)
    assert counts.min() > 40
    assert counts.max() < 130
