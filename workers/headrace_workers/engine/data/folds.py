"""Which rows are held out in one fold: scikit-learn's own splitters decide.

The folds divide all rows that have a target, or the training rows only. ``StratifiedKFold`` and ``KFold``
shuffle by the split's seed; ``GroupKFold`` takes the groups as it does by default; both wishes at once are
``StratifiedGroupKFold``. Rows without a group are a group of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.errors import BadSpec
from headrace.specs.jobs import Fold, Split
from headrace_workers.engine.data import split as splits
from headrace_workers.engine.data.reader import Reader


def divide(reader: Reader, fold: Fold, split: Split, features: Sequence[str], target: str) -> splits.Parts:
    """Return the part of each row: the fold is the test, of the other rows ``split`` takes some to validate.

    Of folds of the training rows the validation rows are those of ``split``, and its test rows are left out.

    Raises `BadSpec` where the rows cannot be divided so.
    """
    if fold.rows == "training":
        parts = splits.divide(reader, split, features, target)
        parts[parts == splits.TEST] = splits.LEFT_OUT
        usable = np.flatnonzero(parts == splits.TRAINING)
    else:
        without_test = split.model_copy(update={"test": 0.0})
        parts = splits.divide(reader, without_test, features, target)
        usable = np.flatnonzero(parts != splits.LEFT_OUT)
    parts[usable[_held_out(reader, fold, split.seed, target, usable)]] = splits.TEST
    if not (parts == splits.TRAINING).any():
        raise BadSpec(f"folds: {len(usable)} rows in {fold.folds} folds leave none for training.")
    return parts


def _held_out(
    reader: Reader, fold: Fold, seed: int, target: str, usable: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return which of the ``usable`` rows the fold holds out, by their position among these."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    shuffled: dict[str, Any] = {"shuffle": True, "random_state": seed}
    groups = classes = None
    if fold.group is not None:
        groups = _numbers(reader, fold.group)[usable]
    if fold.stratified:
        classes = _numbers(reader, target)[usable]
        smallest = int(np.unique(classes, return_counts=True)[1].min())
        if fold.rows == "training" and smallest < fold.folds:
            raise BadSpec(
                f"folds: the smallest class of {target!r} has {smallest} training rows, fewer than the "
                f"{fold.folds} folds; should be as many at most."
            )
    if groups is not None:
        splitter = StratifiedGroupKFold(fold.folds, **shuffled) if fold.stratified else GroupKFold(fold.folds)
    else:
        splitter = (
            StratifiedKFold(fold.folds, **shuffled) if fold.stratified else KFold(fold.folds, **shuffled)
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class with fewer rows than folds is missing in some: no more
            found = list(splitter.split(np.zeros((len(usable), 1)), classes, groups))
    except ValueError as error:
        raise BadSpec(f"folds: {error}") from None
    held_out: NDArray[np.int64] = found[fold.number][1]
    return held_out


def _numbers(reader: Reader, column: str) -> NDArray[np.int64]:
    """Return a number for each row, the same for equal values, in their order; missing ones last."""
    reader.require([column], "folds")
    values = pa.chunked_array([batch.column(0) for _, batch in reader.batches([column])])
    encoded = pc.dictionary_encode(pa.concat_arrays(values.chunks))
    ranks = np.append(np.argsort(pc.sort_indices(encoded.dictionary)), len(encoded.dictionary))
    indices = pc.fill_null(encoded.indices, len(encoded.dictionary))
    return np.asarray(ranks[indices.to_numpy(zero_copy_only=False)], np.int64)
