"""Whether a model is better than a trivial one, in plain words, with chance in mind."""

from __future__ import annotations

from typing import Any

from headrace_workers.engine.evaluation.intervals import Interval

JSON = dict[str, Any]

MAX_CHARS = 60


def of_classifier(
    metrics: dict[str, float],
    intervals: dict[str, Interval],
    baseline: JSON,
    gains: dict[str, Interval | None],
) -> JSON:
    """Return the verdict on a classifier; ``gains`` are intervals of how much better than the baseline it is.

    It beats the baseline when its accuracy is higher, or its ROC AUC above 0.5, by more than chance explains.
    """
    always = f"always predicting {_shown(baseline['predicts'])}"
    accuracy = f"its accuracy is {_with(metrics, intervals, 'accuracy')}"
    trivial = f"{always} has {baseline['metrics']['accuracy']:.3g}"
    ranks = _above(intervals.get("roc_auc"), 0.5)
    beats = _above(gains.get("accuracy"))
    if beats:
        text = f"The model beats the baseline: {accuracy}, {trivial}."
    elif ranks:
        text = (
            f"The model's labels are no better than the baseline: {accuracy}, {trivial}. But it ranks rows "
            f"better than chance: its ROC AUC is {_with(metrics, intervals, 'roc_auc')}, chance has 0.5."
        )
    else:
        text = (
            f"The model does not beat the baseline: {accuracy}, {trivial}. What it says of a row is worth no "
            "more than that, as far as these rows can tell."
        )
    if _below(gains.get("log_loss")):
        text += (
            " Its probabilities are worse than the plain shares of the classes "
            f"(log loss {metrics['log_loss']:.3g}, theirs {baseline['metrics']['log_loss']:.3g}): "
            "do not take them for probabilities."
        )
    return {"beats_baseline": beats or ranks, "text": text}


def of_regression(
    metrics: dict[str, float],
    intervals: dict[str, Interval],
    baseline: JSON,
    gains: dict[str, Interval | None],
) -> JSON:
    """Return the verdict on a regression: it beats the baseline when its RMSE is lower, or its MAE."""
    trivial = f"always predicting the training rows' mean, {baseline['predicts']:.4g},"
    for metric in ("rmse", "mae"):
        if _above(gains.get(metric)):
            return {
                "beats_baseline": True,
                "text": f"The model beats the baseline: its {metric.upper()} is "
                f"{_with(metrics, intervals, metric)}, {trivial} has {baseline['metrics'][metric]:.4g}.",
            }
    return {
        "beats_baseline": False,
        "text": f"The model does not beat the baseline: its RMSE is {_with(metrics, intervals, 'rmse')}, "
        f"{trivial} has {baseline['metrics']['rmse']:.4g}. As far as these rows can tell, it has learned "
        "nothing that the mean does not say.",
    }


def of_forecast(
    metrics: dict[str, float],
    intervals: dict[str, Interval],
    baseline: JSON,
    gain: Interval | None,
    level: float,
) -> JSON:
    """Return the verdict on forecasts: they beat the baseline when their error is lower, by ``gain``.

    Intervals whose coverage is surely not ``level`` are said to be wrong.
    """
    own, trivial = _with(metrics, intervals, "mae"), f"{baseline['metrics']['mae']:.3g}"
    what = "repeating what was one season before"
    if _above(gain):
        text = f"The model beats the baseline: its MAE is {own}, {what} has {trivial}."
    elif _below(gain):
        text = f"The model is worse than the baseline: its MAE is {own}, {what} has {trivial}. Use that."
    else:
        text = (
            f"The model does not beat the baseline: its MAE is {own}, {what} has {trivial}. As far as these "
            "steps can tell, it is worth no more than that."
        )
    between = intervals.get("coverage")
    if between and not between[0] <= level <= between[1]:
        text += f" Its intervals hold {metrics['coverage']:.0%} of the values, they should hold {level:.0%}."
    return {"beats_baseline": _above(gain), "text": text}


def of_recommendation(
    metrics: dict[str, float],
    intervals: dict[str, Interval],
    baseline: JSON,
    gains: dict[str, Interval | None],
) -> JSON:
    """Return the verdict on a recommender: of ratings by their RMSE, of clicks by the lists of ten items."""
    trivial = baseline["metrics"]
    lists, beats_popular = "", _above(gains.get("ndcg_at_10"))
    if "ndcg_at_10" in metrics:
        found = f"NDCG of their lists of ten items is {_with(metrics, intervals, 'ndcg_at_10')}"
        lists = f"users' {found}, that of the most popular items {trivial['ndcg_at_10']:.3g}"
    if "rmse" not in metrics:
        if not lists:
            return {"beats_baseline": False, "text": "No user has an item to be shown: nothing is known."}
        does = "beats" if beats_popular else "does not beat"
        return {"beats_baseline": beats_popular, "text": f"The model {does} the baseline: {lists}."}
    beats = _above(gains.get("rmse"))
    text = (
        f"The model {'beats' if beats else 'does not beat'} the baseline: the RMSE of its ratings is "
        f"{_with(metrics, intervals, 'rmse')}, by the habits of users and items alone it is "
        f"{trivial['rmse']:.3g}."
    )
    if lists and not beats_popular:
        text += (
            f" It is not for choosing what to show: {lists}. Without a target, from the rows as clicks, a "
            "model learns that."
        )
    elif lists:
        text += f" It also chooses better than popularity: {lists}."
    return {"beats_baseline": beats, "text": text}


def _with(metrics: dict[str, float], intervals: dict[str, Interval], name: str) -> str:
    ends = intervals.get(name)
    between = f" ({ends[0]:.3g} to {ends[1]:.3g})" if ends else ""
    return f"{metrics[name]:.3g}{between}"


def _above(ends: Interval | None, value: float = 0.0) -> bool:
    return ends is not None and ends[0] > value


def _below(ends: Interval | None) -> bool:
    return ends is not None and ends[1] < 0


def _shown(label: Any) -> str:
    text = repr(label)
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + "…"
