"""What pixels, words and columns add to predictions: integrated gradients of many rows, as JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.errors import BadSpec
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.data.preprocessing import IMAGE, SPECTROGRAM, TABLE, TEXT
from headrace_workers.engine.data.target import ClassTarget
from headrace_workers.engine.data.text import tokens
from headrace_workers.engine.evaluation.worst import shortened
from headrace_workers.engine.explanation import pictures
from headrace_workers.engine.explanation.gradients import Integral, integrate
from headrace_workers.engine.explanation.opened import Opened
from headrace_workers.engine.explanation.rows import Drawn
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.tasks.classification import label_text

JSON = dict[str, Any]

MOST_WORDS = 30
"""Words of a class that are listed at most."""

MOST_COLUMNS = 30
"""Columns of an example that are shown: those that add most."""

MIN_ROWS = 2
"""A word in fewer rows is not listed: what one row says of it is that row's."""

MAX_TOKENS = 400
"""Words of an example that are shown."""

BASELINES = {
    "table": "the mean of the rows that are explained",
    "image": "a black image",
    "spectrogram": "silence",
    "text": "as many tokens of padding",
}


def attribute(
    predictor: Predictor,
    drawn: Drawn,
    *,
    label: bool | int | str | None,
    steps: int,
    examples: int,
    progress: Callable[[float], None],
) -> tuple[JSON, list[JSON]]:
    """Return what all inputs add in ``drawn``, whose raw features are needed, and what adds most, by name.

    Of a classifier the probability of ``label`` is explained, or that of the class which is predicted of a
    row; of a regression the value, in the target's units. ``examples``: so many rows are shown one by one.
    Raises `BadSpec` for a model that has no gradients, or none that can be followed.
    """
    if not isinstance(predictor.learner, Network):
        raise BadSpec("method: integrated_gradients is for Keras networks; permutation is for any model.")
    network = Opened(predictor.learner)
    outputs = _outputs(predictor, drawn, label)
    shown = set(np.unique(np.linspace(0, len(drawn) - 1, min(examples, len(drawn))).round().astype(int)))
    baseline = network.baseline(drawn.inputs)
    kinds: dict[str, type[_Kind]] = {
        TABLE: _Table,
        IMAGE: _Picture,
        SPECTROGRAM: _Spectrogram,
        TEXT: _Text,
    }
    of_kind = kinds[network.kind](predictor, drawn)
    errors, most_steps, told = [], 0, []
    for row in range(len(drawn)):
        output = int(outputs[row])
        found = integrate(network, baseline, drawn.inputs[network.kind][row], output, steps)
        errors.append(found.error)
        most_steps = max(most_steps, found.steps)
        parts = of_kind.add(row, output, found)
        if row in shown:
            told.append(_head(predictor, drawn, row, output, found) | of_kind.example(row, parts))
        progress((row + 1) / len(drawn))
    scale = predictor.target.scale
    overall, strongest = of_kind.overall()
    return {
        "input": network.kind,
        "of": "probability" if isinstance(predictor.target, ClassTarget) else "value",
        "baseline": BASELINES[network.kind],
        "completeness": {
            "largest_error": scale * max(errors),
            "mean_error": scale * float(np.mean(errors)),
            "most_steps": most_steps,
        },
        **overall,
        "examples": told,
    }, strongest


def _outputs(predictor: Predictor, drawn: Drawn, label: bool | int | str | None) -> NDArray[np.int64]:
    """Return which output of the network is explained in each row."""
    target = predictor.target
    if not isinstance(target, ClassTarget):
        return np.zeros(len(drawn), np.int64)
    if label is None:
        return np.asarray(predictor.learner.predict(drawn.inputs).argmax(axis=1))
    names = [label_text(each) for each in target.classes]
    if label_text(label) not in names:
        raise BadSpec(f"label: {label_text(label)[:100]!r} is no class of the model.")
    return np.full(len(drawn), names.index(label_text(label)))


def _head(predictor: Predictor, drawn: Drawn, row: int, output: int, found: Integral) -> JSON:
    """Return what every example has: the number of the row, from 1, and the sum and what it should be."""
    target = predictor.target
    head: JSON = {"row": int(drawn.numbers[row]) + 1}
    if isinstance(target, ClassTarget):
        head["label"] = target.classes[output]
    ends = np.array([found.output, found.baseline])
    values = ends if isinstance(target, ClassTarget) else target.decode(ends)
    total = float(found.parts.sum()) * target.scale
    return head | {"output": float(values[0]), "baseline": float(values[1]), "sum": total}


class _Kind(ABC):
    """What becomes of the parts of one kind of input; ``parts`` are what `add` made of them."""

    def __init__(self, predictor: Predictor, drawn: Drawn) -> None:
        self.predictor = predictor
        self.drawn = drawn
        self.scale = predictor.target.scale

    @abstractmethod
    def add(self, row: int, output: int, found: Integral) -> NDArray[np.float64]:
        """Take note of what a drawn row adds to an output, and return it by what people see."""

    @abstractmethod
    def example(self, row: int, parts: NDArray[np.float64]) -> JSON:
        """Return one row as it is shown."""

    @abstractmethod
    def overall(self) -> tuple[JSON, list[JSON]]:
        """Return what all rows told together, and the strongest of it."""


class _Table(_Kind):
    """Columns: what the values that one raw column became add together."""

    def __init__(self, predictor: Predictor, drawn: Drawn) -> None:
        super().__init__(predictor, drawn)
        self._names = predictor.preprocessing.columns
        self._blocks = [block for _, block in predictor.preprocessing.places]
        self._all: list[NDArray[np.float64]] = []

    def add(self, row: int, output: int, found: Integral) -> NDArray[np.float64]:
        parts = np.array([found.parts[block].sum() for block in self._blocks])
        self._all.append(parts)
        return parts

    def example(self, row: int, parts: NDArray[np.float64]) -> JSON:
        order = np.argsort(-np.abs(parts), kind="stable")[:MOST_COLUMNS]
        some = self.drawn.raw.select([self._names[i] for i in order])
        values = shortened(some.take(pa.array([row])))
        entries = zip(values.items(), order, strict=True)
        return {
            "features": [
                {"feature": name, "value": value, "adds": self.scale * float(parts[i])}
                for (name, value), i in entries
            ]
        }

    def overall(self) -> tuple[JSON, list[JSON]]:
        every = np.stack(self._all) * self.scale
        sizes, means = np.abs(every).mean(axis=0), every.mean(axis=0)
        entries = [
            {"feature": self._names[i], "size": float(sizes[i]), "mean": float(means[i])}
            for i in np.argsort(-sizes, kind="stable")
        ]
        strongest = [{"feature": each["feature"], "weight": each["size"]} for each in entries]
        return {"features": entries}, strongest


class _Picture(_Kind):
    """An image: a heat map, summed over channels."""

    input = IMAGE

    def __init__(self, predictor: Predictor, drawn: Drawn) -> None:
        super().__init__(predictor, drawn)
        self._pixels = drawn.inputs[self.input]
        self._total = np.zeros(self._pixels.shape[1:3])

    def upright(self, picture: NDArray[Any]) -> NDArray[Any]:
        """Return ``picture``, whose rows come first, as people look at it."""
        return picture

    def add(self, row: int, output: int, found: Integral) -> NDArray[np.float64]:
        heat: NDArray[np.float64] = found.parts.sum(axis=2)
        self._total += np.abs(heat)
        return heat

    def example(self, row: int, parts: NDArray[np.float64]) -> JSON:
        pixels = self._pixels[row]
        return {
            "image": pictures.plain(self.upright(pixels)),
            "heat": pictures.heated(self.upright(pixels), self.upright(parts)),
            "values": pictures.values(self.scale * parts),
        }

    def overall(self) -> tuple[JSON, list[JSON]]:
        size = self.scale * self._total / len(self._pixels)
        back, heat = self.upright(self._pixels.mean(axis=0)), self.upright(size)
        picture = {"heat": pictures.heated(back, heat), "values": pictures.values(size)}
        column = self.predictor.preprocessing.columns[0]
        return {"picture": picture}, [{"feature": column, "weight": float(size.sum())}]


class _Spectrogram(_Picture):
    """A sound: a heat map over its bands and frames, drawn with the low bands at the bottom."""

    input = SPECTROGRAM

    def upright(self, picture: NDArray[Any]) -> NDArray[Any]:
        return picture[::-1]


class _Text(_Kind):
    """A text: the weight of each word that is read."""

    def __init__(self, predictor: Predictor, drawn: Drawn) -> None:
        super().__init__(predictor, drawn)
        encoder: Any = predictor.preprocessing.encoders[0]
        self._encoder = encoder
        self._known: set[str] = set(self._encoder.tokens)
        self._texts = drawn.raw.column(self._encoder.column)
        self._sums: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._rows: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._of: dict[int, int] = defaultdict(int)

    def add(self, row: int, output: int, found: Integral) -> NDArray[np.float64]:
        weights = self._of_tokens(row, found.parts.sum(axis=-1))
        self._of[output] += 1
        words = self._words(row)
        for word, weight in zip(words, weights, strict=False):
            self._sums[output][word] += float(weight)
        for word in set(words):
            self._rows[output][word] += 1
        return weights

    def example(self, row: int, parts: NDArray[np.float64]) -> JSON:
        words = zip(self._words(row)[:MAX_TOKENS], parts, strict=False)
        return {
            "words": [
                {"word": word, "adds": self.scale * float(weight), "known": word in self._known}
                for word, weight in words
            ]
        }

    def overall(self) -> tuple[JSON, list[JSON]]:
        target = self.predictor.target
        found, strongest = [], []
        for output, rows in sorted(self._of.items()):
            sums = self._sums[output]
            often = [word for word in sums if self._rows[output][word] >= MIN_ROWS and word in self._known]
            often.sort(key=lambda word: (-abs(sums[word]), word))
            listed = [
                {
                    "word": word,
                    "adds": self.scale * sums[word] / self._rows[output][word],
                    "rows": self._rows[output][word],
                }
                for word in often[:MOST_WORDS]
            ]
            label = target.classes[output] if isinstance(target, ClassTarget) else None
            found.append({"label": label, "rows": rows, "words": listed})
            strongest += [
                {"feature": each["word"], "label": label, "weight": each["adds"]} for each in listed[:5]
            ]
        return {"words": found}, sorted(strongest, key=lambda each: -abs(each["weight"]))

    def _words(self, row: int) -> list[str]:
        e = self._encoder
        text = self._texts[row].as_py() or ""
        return list(islice(tokens(text, e.ngrams, singles=e.singles), e.length))

    def _of_tokens(self, row: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights of the places that hold tokens, without the padding."""
        count = max(len(self._words(row)), 1)
        return weights[-count:] if self._encoder.padding == "left" else weights[:count]
