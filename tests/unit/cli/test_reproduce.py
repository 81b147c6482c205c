"""A verdict in words."""

from __future__ import annotations

from typing import Any

from headrace.cli.reproduce import lines

SAME: dict[str, Any] = {
    "identical": True,
    "weights_digest": "sha256:aa",
    "expected_weights_digest": "sha256:aa",
    "differences": [],
    "arrays": [],
    "differing_arrays": 0,
}


def test_what_came_out_again_is_said_in_one_line() -> None:
    assert list(lines("digits@1", SAME)) == ["digits@1 came out again, identical to the bit: sha256:aa"]


def test_what_differs_is_said_with_where_and_by_how_much() -> None:
    arrays = [
        {"name": "conv_1/kernel", "values": 288, "differing": 12, "largest": 0.00123456},
        {"name": "output/bias", "values": 10, "differing": 10, "largest": None},
    ]
    verdict = SAME | {
        "identical": False,
        "weights_digest": "sha256:bb",
        "differences": ["environment.threads: 1 then, 2 now"],
        "arrays": arrays,
        "differing_arrays": 2,
    }
    assert list(lines("digits@1", verdict)) == [
        "digits@1 did not come out the same: sha256:bb",
        "                    instead of sha256:aa",
        "What may have made the difference:",
        "  environment.threads: 1 then, 2 now",
        "Arrays that differ (2), in the order of the model:",
        "  conv_1/kernel: 12 of 288 values, by 0.00123 at most",
        "  output/bias: 10 of 10 values",
    ]
