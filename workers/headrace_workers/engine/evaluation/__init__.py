"""How good a model is, as plain finite JSON: metrics, a trivial baseline, and what is behind them.

::

    {"task": "classification", "rows": 1000, "bad_rows": 0, "metrics": {…},
     "baseline": {"predicts": "7", "metrics": {…}},
     "confusion_matrix": {"labels": […], "counts": [[…]]},      rows are the truth, columns the prediction
     "per_class": [{"label", "rows", "precision", "recall", "f1"}]}
    {"task": "regression", …, "residuals": {"quantiles": {"0.05": …}, "mean": …}}

A metric that the rows do not define (ROC AUC with one class) is left out, never null or NaN. Truth and
predictions of all rows are kept, nothing else of them; the metrics themselves are scikit-learn's.
"""
