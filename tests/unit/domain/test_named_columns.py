"""Params that name columns: checked against all columns of the dataset."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from headrace.errors import Invalid
from headrace.specs.algorithms import Algorithm, Params
from headrace.specs.base import Column

COLUMNS = [
    Column(name="when", type="timestamp", nullable=False),
    Column(name="shop", type="category", nullable=False),
    Column(name="sold", type="number", nullable=False),
]


class SeriesParams(Params):
    """A column that every series has, and one that tells them apart."""

    time: str
    series: str | None = None

    def named_columns(self) -> dict[str, str | None]:
        """See `Params.named_columns`."""
        return {"time": self.time, "series": self.series}

    def misfit_dataset(self, columns: Sequence[Column], target: str | None) -> dict[str, str]:
        """See `Params.misfit_dataset`."""
        types = {column.name: column.type for column in columns}
        return {} if types[self.time] == "timestamp" else {"time": f"{self.time!r} is no time"}


SERIES = Algorithm(
    name="series",
    title="Series",
    summary="",
    source="",
    tasks=("regression",),
    features=("number",),
    params=SeriesParams,
    code="nowhere:Nothing",
)


def test_the_named_columns_are_returned() -> None:
    found = SERIES.check_dataset({"time": "when", "series": "shop"}, COLUMNS, "sold", "spec", "params")
    assert found == {"when", "shop"}
    assert SERIES.check_dataset({"time": "when"}, COLUMNS, "sold", "spec", "params") == {"when"}


@pytest.mark.parametrize(
    ("params", "field", "reason"),
    [
        ({"time": "wen"}, "time", "there is no column 'wen'; the columns are when, shop, sold"),
        ({"time": "sold"}, "time", "is the target"),
        ({"time": "when", "series": "when"}, "series", "is the same column as time"),
        ({"time": "shop"}, "time", "'shop' is no time"),
    ],
)
def test_what_does_not_go_with_the_dataset_is_refused(
    params: dict[str, str], field: str, reason: str
) -> None:
    with pytest.raises(Invalid) as caught:
        SERIES.check_dataset(params, COLUMNS, "sold", "spec", "params")
    found = {error.loc[-1]: error.msg for error in caught.value.errors}
    assert reason in found[field]
