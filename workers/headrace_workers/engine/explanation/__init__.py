"""What the predictions of a version rest on, as plain finite JSON, with pictures as PNG in data URLs.

::

    {"method": "permutation", "model": "m@1", "dataset": "d@2", "task": "classification", "seed": 0,
     "rows": {"used": 150, "of": 1500, "part": "test"},
     "importance": {"metrics": {"accuracy": 0.97, …}, "repeats": 10, "level": 0.95,
                    "features": [{"feature", "type", "metrics": {"accuracy": {"mean", "std", "interval"}}}]},
     "partial_dependence": [{"feature", "type", "grid": […], "rows": 150,
                             "curves": [{"label", "mean": […], "ice": [[…]]}]}],
     "notes": ["…"]}
    {"method": "integrated_gradients", …,
     "attributions": {"input": "table", "of": "probability", "baseline": "…",
                      "completeness": {"largest_error", "mean_error", "steps"},
                      "features" | "words" | "picture": …, over all rows
                      "examples": [{"row", "label", "output", "baseline", "sum", …}]}}

- **Permutation importance** (Breiman 2001; Fisher, Rudin, Dominici 2019) is scikit-learn's: a feature's raw
  values are shuffled between rows, and what that costs is measured. Features are listed by what they cost in
  the first of the metrics, which is scikit-learn's own choice: accuracy, or R². Of other tasks the metrics
  are those of their evaluation (`scoring`). Forecasts are made of windows, so there the rows of the whole
  dataset are shuffled, before windows are made (`forecasts`).
- **Integrated gradients** (Sundararajan, Taly, Yan 2017): along the straight way from a baseline to a row the
  gradients of one output are added up. By completeness what all inputs add is the output's difference from
  that of the baseline; how far off that is is said of every row, and steps are added until it is small.
- **Partial dependence** (Friedman 2001; scikit-learn's definition): the mean prediction with one feature set
  to each value of a grid in all rows; a row's own curve is its individual conditional expectation (Goldstein
  et al. 2015).

`rows` draws and encodes rows, in bounded memory; columns are encoded once, and what is shuffled or set is
the encoded values that one raw column became (`changed`). The rows are those of the test where
the dataset is the one that the version learned from. Everything random derives from the spec's seed.
"""
