"""Forecasts: from a table of times and values to windows of series, and back to times.

::

    rows ── series.read ──▶ Series: values on a grid of equal steps, NaN where there is none
    Series ── windows ──▶ history, base, future, wanted: what a network reads and gives, each window in units
                          of its own (level and spread), so that small and large series are learned alike
    lower, median, upper of each step ── Windowing.restore ──▶ the target's units

A step is so many microseconds, or so many calendar months (`steps`). A step without a row, or without a
value, is a gap: as history it counts as what was one season before, and nobody learns to forecast it. Two
rows of one series at one time, and times that are on no grid, are refused.

The base of every forecast is the seasonal naive one: each step is what it was one season before. What a
network learns is what to add to it.
"""
