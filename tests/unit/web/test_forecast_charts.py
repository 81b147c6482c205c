"""The picture of a forecast on a version's page."""

from __future__ import annotations

from headrace_web.dashboard import charts


def test_a_series_is_drawn_with_forecasts_and_their_intervals_over_dates() -> None:
    points = [
        {"time": f"2020-{month:02}-01T00:00:00Z", "lower": 1.0, "prediction": 2.0, "upper": 4.0}
        for month in (5, 6, 7)
    ]
    history = [[f"2020-{month:02}-01T00:00:00Z", 3.0] for month in (1, 2, 3, 4)]
    series = {
        "series": {"shop": "a"},
        "history": history,
        "points": [{**points[0], "truth": 2.5}, *points[1:]],
    }
    [chart] = charts.of_evaluation({"forecast": {"series": [series]}})
    assert chart.title == "Forecasts of a"
    assert [(line.label, len(line.points.split())) for line in chart.lines] == [("truth", 5), ("forecast", 3)]
    assert [len(band.split()) for band in chart.bands] == [6]
    assert {tick.text.split()[1] for tick in chart.x_ticks} == {"2020"}
    assert chart.y[0] < 1
    assert chart.y[1] > 4
