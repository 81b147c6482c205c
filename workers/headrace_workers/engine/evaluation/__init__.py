"""How good a model is, as plain finite JSON: metrics, how sure they are, and what is behind them.

::

    {"task": "classification", "rows": 1000, "bad_rows": 0, "metrics": {name: value},
     "intervals": {"level": 0.95, "method": "bootstrap", …, "metrics": {name: [low, high]}},
     "baseline": {"predicts": "7", "metrics": {…}}, "verdict": {"beats_baseline": true, "text": "…"},
     "confusion_matrix": {"labels": […], "counts": [[…]]},      rows are the truth, columns the prediction
     "per_class": [{"label", "rows", "precision", "recall", "f1", "roc_auc", "pr_auc"}],
     "roc": [{"label", "points": [[false positive rate, true positive rate], …]}],
     "pr": [{"label", "points": [[recall, precision], …]}],
     "calibration": {"of": label, "bins": [{"predicted", "observed", "rows"}]},
     "worst": [{"row", "truth", "prediction", …, "values": {column: value}}],
     "slices": [{"column", "groups": [{"value", "rows", "metrics", "intervals", "small", "differs"}],
                 "fairness": [{"label", "compared", "metrics", "intervals",
                               "groups": [{"rows", "of_class", "rates", "intervals"}]}]}]}   as the groups are
    {"task": "regression", …, "residuals": {"mean", "quantiles": {"0.05": …}, "histogram"},
     "predictions": {"points": [[truth, prediction], …]}, "fit": {"feature", "points", "line"}}
    {"task": "clustering", …, "clusters": [{"cluster", "rows", "distance"}],
     "projection": {"points": [[first, second, cluster], …]}}    by the rows' two principal components
    {"task": "embedding", …, "embedding": {"points": [[embedding_0, embedding_1], …]}}
    {"task": "anomaly", …, "scores": {"threshold", "above", "histogram"}, "distance_from_mean": {"pr_auc"},
     "roc", "pr"}                                                the last three where labels exist

    {"task": "forecast", …, "by_step": [{"step": 1, "rows", metric: value, "baseline_mae"}],
     "forecast": {"step", "season", "level", "series": [{"series": {column: value},
                  "history": [[time, value]],
                  "points": [{"time", "truth", "prediction", "lower", "upper"}]}]},
     "worst_series": [{"series", metric: value}]}

A metric that the rows do not define (ROC AUC with one class) is left out, never null or NaN. ``calibration``
is that of the second of two classes; of more, that of the predicted class (``of`` is null).

The baseline knows the target's training values and nothing else: the most frequent class, with the shares of
the classes as probabilities; the mean. Without a target it is one cluster for all, or the mean row in the
place of every row; of anomalies with labels, one score for all. The verdict compares on the same resampled
rows.

Rows stream past. What is kept of them is bounded: all counts; a uniform sample of rows for what needs them
(`classification.MAX_ROWS`, `regression.MAX_ROWS`; ``sample`` says so where it is not all); the worst
`worst.MAX_ROWS`. Metrics are scikit-learn's where it has them; those that a bootstrap needs of hundreds of
resamples at once are vectorised here (`counts`, `scores`), and tests hold them to scikit-learn's. Everything
random derives from the job's seed.
"""
