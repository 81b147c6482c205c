"""Text as rows of token numbers: a vocabulary fitted on training rows, the same in training and prediction.

A text is normalised (Unicode NFKC, case folded) and cut into words, single ideographs and single marks.
Tokens are whole words, not pieces of words: their weights can be read, the vocabulary is fitted in one pass,
and nothing beyond the standard library decides what a token is, so that a version reads text the same way
for ever. A token that the vocabulary lacks is `UNKNOWN`, and so is a text without any token or a missing one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from headrace.errors import BadData
from headrace_workers.engine.algorithms.base import TextEncoding

PADDING, UNKNOWN = 0, 1
"""The numbers of no token and of one that is not in the vocabulary; the vocabulary's begin behind them."""

RESERVED = 2
MAX_CHARACTERS = 1_000_000
"""Of a longer text only so much is read."""

MAX_TOKEN = 64
"""A longer word is cut: it is data, not language."""

MAX_COUNTED = 500_000
"""So many different tokens are counted at once; when there are more, the rarest are forgotten."""

COVERED = 0.99
"""The fraction of training texts that fit into a row whole, where the length is left to decide."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_TOKEN = re.compile(rf"[^\W{_IDEOGRAPHS}]+(?:['\u2019][^\W{_IDEOGRAPHS}]+)*|\S")


def tokens(text: str, ngrams: int = 1, *, singles: bool = True) -> Iterator[str]:
    """Yield the tokens of ``text`` in order, each followed by the runs of up to ``ngrams`` that end in it.

    Without ``singles``, marks and single letters are left out.
    """
    last: list[str] = []
    for match in _TOKEN.finditer(unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold()):
        token = match[0][:MAX_TOKEN]
        if len(token) == 1 and not singles and not _IDEOGRAPH.match(token):
            continue
        last = [*last[1 - ngrams :], token] if ngrams > 1 else [token]
        for start in reversed(range(len(last))):
            yield " ".join(last[start:])


class TextEncoder(BaseModel):
    """Token numbers, shape (length,), int32. ``tokens`` are in the order of their numbers from `RESERVED`.

    What a text has beyond ``length`` tokens is not read; ``cut`` is the fraction of training texts that had.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["text"] = "text"
    column: str
    type: Literal["text"] = "text"
    tokens: list[str]
    length: int
    ngrams: int
    singles: bool
    padding: Literal["left", "right"]
    cut: float

    @property
    def shape(self) -> tuple[int]:
        """The shape of one text."""
        return (self.length,)

    @property
    def numbers(self) -> int:
        """How many token numbers there are."""
        return len(self.tokens) + RESERVED

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens, RESERVED)}

    def encode(self, values: pa.Array) -> NDArray[np.int32]:
        """Return token numbers, shape (n, length); a missing text is as an empty one."""
        rows = np.full((len(values), self.length), PADDING, np.int32)
        for row, value in zip(rows, values, strict=True):
            text = tokens(value.as_py() or "", self.ngrams, singles=self.singles)
            found = [self._numbers.get(token, UNKNOWN) for token in islice(text, self.length)] or [UNKNOWN]
            if self.padding == "left":
                row[-len(found) :] = found
            else:
                row[: len(found)] = found
        return rows


class TextFitting:
    """Counts of tokens and of texts by length, in bounded memory.

    Tokens are forgotten as in word2vec (Mikolov et al. 2013, the reference implementation): whenever more
    than `MAX_COUNTED` are held, all below a count that rises each time. Only what is far rarer than any
    vocabulary can hold is lost.
    """

    def __init__(self, column: str, encoding: TextEncoding) -> None:
        self.column = column
        self._encoding = encoding
        self._counts: Counter[str] = Counter()
        self._forgotten = 0
        self._lengths = np.zeros((encoding.length or encoding.max_length) + 2, np.int64)

    def add(self, values: pa.Array) -> None:
        """Take note of more values."""
        for value in values:
            text = tokens(value.as_py() or "", self._encoding.ngrams, singles=self._encoding.singles)
            found = list(text)
            self._counts.update(found)
            self._lengths[min(len(found), len(self._lengths) - 1)] += 1
            # After each text rather than each batch, so that batches make no difference.
            while len(self._counts) > MAX_COUNTED:
                self._forgotten += 1
                kept = {token: n for token, n in self._counts.items() if n > self._forgotten}
                self._counts = Counter(kept)

    def encoder(self) -> TextEncoder:
        """Return the fitted encoder, and tell the log what it is. Raises `BadData` when there is no text."""
        if not self._counts:
            raise BadData(f"Column {self.column!r} has no text among the training rows.")
        known = [token for token, count in self._counts.items() if count >= self._encoding.min_count]
        known.sort(key=lambda token: (-self._counts[token], token))
        length = self._encoding.length or self._covering()
        encoder = TextEncoder(
            column=self.column,
            tokens=known[: self._encoding.vocabulary - RESERVED],
            length=length,
            ngrams=self._encoding.ngrams,
            singles=self._encoding.singles,
            padding=self._encoding.padding,
            cut=float(self._lengths[length + 1 :].sum() / max(self._lengths.sum(), 1)),
        )
        print(
            f"column {self.column!r}: {len(encoder.tokens)} of {len(self._counts)} tokens are in the "
            f"vocabulary; a text is {length} tokens, {encoder.cut:.1%} of training texts are longer and cut",
            flush=True,
        )
        return encoder

    def _covering(self) -> int:
        share = np.cumsum(self._lengths) / self._lengths.sum()
        covering = int(np.searchsorted(share, COVERED))
        return min(max(covering, 1), self._encoding.max_length)
