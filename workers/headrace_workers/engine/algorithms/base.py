"""The protocol of every learner, and the plain values that pass through it. Imports nothing heavy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from headrace.specs.algorithms import Params
from headrace.specs.base import TaskType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.data.seen import Seen
    from headrace_workers.engine.training.rows import Rows

Arrays = dict[str, "NDArray[Any]"]
"""Arrays by name, all with the rows as their first axis."""


class TensorSpec(NamedTuple):
    """One input: the shape of one row, and the NumPy name of the dtype.

    ``levels``, of a table: how many level numbers each of its positions has, 0 where it holds a number;
    empty where all do. Of a text: how many token numbers there are.
    """

    shape: tuple[int, ...]
    dtype: str
    levels: tuple[int, ...] = ()


@dataclass(frozen=True)
class TextEncoding:
    """How a learner wants text to be encoded: as a row of token numbers, the frequent tokens first.

    ``vocabulary``: how many numbers there are at most, those of padding (0) and of unknown tokens (1)
    included; a token that training rows hold less than ``min_count`` times is unknown. ``length``: the tokens
    of a row, None to decide from training rows (``max_length`` at most). ``ngrams``: runs of up to so many
    tokens are tokens too. ``singles``: whether marks and single letters are tokens, as words and ideographs
    are. ``padding``: the side on which short texts are filled up.
    """

    vocabulary: int
    length: int | None = None
    max_length: int = 256
    min_count: int = 2
    ngrams: int = 1
    singles: bool = True
    padding: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class SequenceEncoding:
    """How a learner wants lists of numbers to be encoded: standardised, all columns' lists side by side.

    ``length``: the values of a row, None to decide from training rows (``max_length`` at most); of longer
    lists the last values are read. ``padding``: the side on which short ones are filled up, with 0.
    """

    length: int | None = None
    max_length: int = 512
    padding: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Encoding:
    """How a learner wants columns to be encoded.

    ``categories``: one column of 0 and 1 per level, or one column of level numbers. ``missing``: a missing
    number is the mean, and a flag says so; or it is NaN. ``image_size`` (height,
    width) and ``channels``: None to decide from training rows. ``text`` and
    ``sequence``: None when it takes none.
    """

    categories: Literal["one_hot", "codes"] = "one_hot"
    missing: Literal["flag", "nan"] = "flag"
    image_size: tuple[int, int] | None = None
    channels: int | None = None
    text: TextEncoding | None = None
    sequence: SequenceEncoding | None = None


@dataclass(frozen=True)
class Problem:
    """What is to be learned: ``outputs`` is the number of classes, or 1 for a regression.

    ``scale``: one unit of an encoded regression target, in units of the target. ``target_shape``: that of one
    row's target; (0,) where there is none. Other tasks say of themselves what ``outputs`` means, see
    ``engine.tasks``. ``threads`` is part of the problem because it changes the bits.
    """

    task: TaskType
    inputs: dict[str, TensorSpec]
    outputs: int
    scale: float = 1.0
    target_shape: tuple[int, ...] = ()
    seed: int = 0
    threads: int = 1
    deterministic: bool = True


@dataclass(frozen=True)
class State:
    """Where a fit stands, between two epochs or within one: named arrays, and values that JSON can hold.

    ``values`` come back from a file as JSON gives them: finite numbers to the bit, tuples as lists.
    """

    arrays: Arrays = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


class Monitor(Protocol):
    """Who is told how a fit goes."""

    def progress(self, fraction: float, message: str = "") -> None:
        """``fraction`` (0 to 1) of the fit is done."""

    def metric(self, name: str, step: int, value: float) -> None:
        """``name`` had ``value`` after epoch ``step``, counted from 1."""

    def cut(self, learner: Learner, position: str) -> None:
        """The fit may be cut here: ``learner.state()`` would resume at this very point.

        To be called as often as one likes: what comes too soon costs nothing. ``position`` is for people.
        """


class Learner(ABC):
    """An algorithm at work on one `Problem`.

    Same params, problem and rows give the same bits in every process. Everything random derives from
    ``problem.seed``.
    """

    params_class: ClassVar[type[Params]]

    def __init__(self, params: Params, problem: Problem) -> None:
        self.problem = problem

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return how columns are to be encoded."""
        return Encoding()

    @abstractmethod
    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        """Learn from ``training``; goes on where a loaded `State` stood.

        Raises `headrace.errors.BadSpec` when the params do not fit the rows.
        """

    def start_from(self, base: Learner) -> None:
        """Take over what ``base``, of the same algorithm, has learned, before the fit.

        Raises `headrace.errors.BadSpec` when nothing of it fits.
        """
        raise NotImplementedError(f"{type(self).__name__} always learns from the beginning")

    def adopt(self, backbone: Any) -> None:
        """Take over what the Keras model ``backbone``, an uploaded network, has learned, before the fit.

        Raises `headrace.errors.BadSpec` when nothing of it fits.
        """
        raise NotImplementedError(f"{type(self).__name__} starts from no uploaded network")

    @abstractmethod
    def predict(self, inputs: Arrays) -> NDArray[np.floating]:
        """Return probabilities, shape (n, classes), or values as encoded by the target, shape (n,).

        Other tasks than classification and regression say in their class what they take; the rows are always
        the first axis. A row's prediction does not depend on the rows beside it.
        """

    @abstractmethod
    def learned(self) -> Arrays:
        """Return everything that predictions depend on, by a name that is the same in every run."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model below ``folder``: for equal learners, equal bytes; no pickles."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Learner:
        """Return what `save` wrote, able to predict. Raises `headrace.errors.BadData` for anything else."""

    def state(self) -> State | None:
        """Return where the fit stands, or None when it cannot be cut and restarts whole."""
        return None

    def load_state(self, state: State) -> None:
        """Go to where another learner of the same params and problem was.

        Raises KeyError, TypeError or ValueError for a state that is not one of such a learner; this one is of
        no use then.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be cut: its fit restarts whole")


class Recommends(ABC):
    """What a learner of the task ``recommendation`` does besides. ``seen``: what users have met in training.

    Its inputs are ``user`` and ``item``, numbers from 0 whose last is that of all unknown ones, and maybe
    ``user_table`` and ``item_table``, the encoded features of each. Its values are scores, shape (n,): of
    ratings as encoded by the target; of clicks, they tell items of one user apart.
    """

    seen: Seen

    @abstractmethod
    def rank(self, inputs: Arrays, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the ``k`` best known items that each user has not seen, the best first, and their scores.

        ``inputs`` are those of users alone. Both are of shape (n, k); -1 and -inf where there are no more.
        A user's items do not depend on the users beside it.
        """
