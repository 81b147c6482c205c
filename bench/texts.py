"""Texts for `bench/quality.py`: one split of the rows for jobs and for the libraries used directly.

The job gets its part of each row from a column (``split.by: column:part``). The peer of naive Bayes is fitted
here; the peer of a network is the same network in Keras behind its own TextVectorization, in a process of its
own. Validation rows stop both early. Scores are compared row by row.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from bench.data import FOLDER, HERE
from bench.deployment import TIMEOUT_S, succeed, upload
from bench.quality_row import Params, Result, Row, Score
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from headrace.client import Client

PEER = HERE / "peers" / "keras_texts.py"
REVIEWS, VERSION = "vaderSentiment", "3.3.2"
SNIPPETS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


class Texts(NamedTuple):
    """Texts, the label of each and the part that it is in."""

    name: str
    texts: list[str]
    labels: list[str]
    parts: NDArray[Any]


class Entry(NamedTuple):
    """An algorithm, its params, and others tried by hand. ``peer``: the network that the peer is."""

    algorithm: str
    params: Params = {}
    candidates: Sequence[Params] = ()
    peer: Mapping[str, Any] = {}


def movie_reviews() -> Texts:
    """Return the snippets (Hutto, Gilbert 2014): positive where the mean of twenty ratings is above zero."""
    archive = FOLDER / f"{REVIEWS}-{VERSION}.tar.gz"
    if not archive.exists():
        FOLDER.mkdir(exist_ok=True)
        options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(FOLDER)]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", *options, f"{REVIEWS}=={VERSION}"], check=True
        )
    with tarfile.open(archive) as outer:
        inner = outer.extractfile(f"{REVIEWS}-{VERSION}/additional_resources/hutto_ICWSM_2014.tar.gz")
        assert inner is not None
        with tarfile.open(fileobj=inner) as files:
            snippets = files.extractfile(SNIPPETS)
            assert snippets is not None
            rows = [line.split("\t", 2) for line in snippets.read().decode().splitlines()]
    labels = ["positive" if float(score) > 0 else "negative" for _, score, _ in rows]
    order = np.random.default_rng(0).permutation(len(rows))
    names = list(SHARES)
    ends = np.cumsum([SHARES[name] for name in names]) * len(rows)
    parts = np.empty(len(rows), object)
    parts[order] = [names[int(np.searchsorted(ends, place, "right"))] for place in range(len(rows))]
    return Texts("movie-reviews", [text for _, _, text in rows], labels, parts)


def rows(make: Callable[[], Texts], entries: Sequence[Entry]) -> list[Row]:
    """Return a row for each entry on the texts that ``make`` returns; it is called once, when needed."""
    data = cache(make)
    return [
        Row(
            entry.algorithm,
            partial(_compare, data, entry),
            partial(_score, data, entry),
            entry.candidates,
        )
        for entry in entries
    ]


def _compare(make: Callable[[], Texts], entry: Entry, client: Client) -> Result:
    data = make()
    test = data.parts == "test"
    truth = np.array(data.labels)[test]
    with tempfile.TemporaryDirectory() as folder:
        file = _uploaded(client, data, Path(folder))
        result = _train(client, data, entry.algorithm, entry.params)
        ours = _predict(client, data, f"{result['model']}@{result['version']}", Path(folder))[test] == truth
        peer = (_network(file, entry.peer) if entry.peer else _naive_bayes(data)) == truth
    difference = ours.astype(float) - peer.astype(float)
    return Result(
        metric="accuracy",
        ours=float(ours.mean()),
        peer=float(peer.mean()),
        error=float(difference.std(ddof=1) / np.sqrt(len(difference))),
        peer_is="the same in Keras" if entry.peer else "CountVectorizer, MultinomialNB",
    )


def _score(make: Callable[[], Texts], entry: Entry, client: Client, params: Params) -> Score:
    data = make()
    with tempfile.TemporaryDirectory() as folder:
        _uploaded(client, data, Path(folder))
    metrics = _train(client, data, entry.algorithm, {**entry.params, **params})["metrics"]
    return Score("accuracy", metrics["accuracy"])


def _uploaded(client: Client, data: Texts, folder: Path) -> Path:
    file = folder / f"{data.name}.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label", "part"])
        writer.writerows(zip(data.texts, data.labels, data.parts, strict=True))
    upload(client, data.name, file)
    return file


def _train(client: Client, data: Texts, algorithm: str, params: Params) -> Any:
    spec = {
        "model": f"{data.name}-{algorithm}".replace("_", "-"),
        "dataset": data.name,
        "algorithm": algorithm,
        "target": "label",
        "features": ["text"],
        "split": {"by": "column:part"},
        "params": dict(params),
    }
    return succeed(client, client.submit("train", spec, timeout_s=TIMEOUT_S)["id"])["result"]


def _predict(client: Client, data: Texts, model: str, folder: Path) -> NDArray[Any]:
    wanted = {"model": model, "dataset": data.name, "columns": ["prediction"]}
    job = client.submit("predict", wanted)["id"]
    succeed(client, job)
    client.output(job, folder / "output")
    return np.array(pq.read_table(folder / "output")["prediction"].to_pylist())


def _naive_bayes(data: Texts) -> NDArray[Any]:
    texts, labels = np.array(data.texts, object), np.array(data.labels)
    model = make_pipeline(CountVectorizer(ngram_range=(1, 2)), MultinomialNB())
    model.fit(texts[data.parts == "train"], labels[data.parts == "train"])
    return np.asarray(model.predict(texts[data.parts == "test"]))


def _network(file: Path, network: Mapping[str, Any]) -> NDArray[Any]:
    command = [sys.executable, str(PEER), str(file), json.dumps(dict(network))]
    return np.array(json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL)))
