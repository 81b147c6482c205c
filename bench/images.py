"""Images for `bench/quality.py`: 60,000 to learn from, 10,000 to test, as their makers divided them.

The job trains on one dataset, and the version is tested on the other; the peer is the same network written in
Keras, in a process of its own, on the same rows. Scores are compared row by row.
"""

from __future__ import annotations

import gzip
import json
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from bench.data import FOLDER, HERE
from bench.deployment import TIMEOUT_S, succeed, upload
from bench.quality_row import Params, Result, Row, Score
from numpy.typing import NDArray

from headrace.client import Client

PEER = HERE / "peers" / "keras_images.py"
FASHION = "dataset-fashion-mnist"

Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Images(NamedTuple):
    """One set: a zip for each part, and both as arrays."""

    name: str
    zips: dict[str, Path]
    arrays: Path


def images(name: str, fetch: Callable[[str], Part]) -> Images:
    """Return the files of the set ``name``, made from what ``fetch`` returns of ``train`` and ``t10k``."""
    zips = {part: FOLDER / f"{name}-{part}.zip" for part in ("train", "t10k")}
    arrays = FOLDER / f"{name}-parts.npz"
    if not arrays.exists():
        FOLDER.mkdir(exist_ok=True)
        write_zip = runpy.run_path(str(HERE.parent / "examples" / "make_digits.py"))["write_zip"]
        (x_train, y_train), (x_test, y_test) = parts = [fetch(part) for part in zips]
        for path, (x, y) in zip(zips.values(), parts, strict=True):
            write_zip(path, x, y, np.arange(len(y)))
        np.savez(arrays, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return Images(name, zips, arrays)


def fetch_fashion(part: str) -> Part:
    """Return a part of Fashion-MNIST from Debian's package of it."""
    folder = FOLDER / FASHION
    if not folder.exists():
        FOLDER.mkdir(exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", FASHION], cwd=FOLDER, check=True)
        (package,) = FOLDER.glob(f"{FASHION}_*.deb")
        subprocess.run(["dpkg", "-x", package, folder], check=True)
    files = folder / "usr" / "share" / "datasets" / "fashion-mnist"
    # IDX: a header of 16 bytes for images and 8 for labels, then the values, row by row.
    pixels = np.frombuffer(gzip.decompress((files / f"{part}-images-idx3-ubyte.gz").read_bytes()), np.uint8)
    labels = np.frombuffer(gzip.decompress((files / f"{part}-labels-idx1-ubyte.gz").read_bytes()), np.uint8)
    return pixels[16:].reshape(-1, 28, 28), labels[8:]


def rows(make: Callable[[], Images], least: float, candidates: Sequence[Params]) -> list[Row]:
    """Return the row of `cnn` on the images that ``make`` returns; it is called once, when needed.

    ``least``: what it must reach; ``candidates``: params found by hand.
    """
    data = cache(make)
    return [Row("cnn", partial(_compare, data, least), partial(_score, data), candidates)]


def _compare(make: Callable[[], Images], least: float, client: Client) -> Result:
    data = make()
    truth = np.load(data.arrays)["y_test"]
    command = [sys.executable, PEER, data.arrays]
    # At the same time: each takes long, and neither is timed.
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            predicted = _predict(client, data)
            output, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    # The zip holds the rows by label, and within a label as they were.
    order = np.argsort(truth, kind="stable")
    ours = predicted == truth[order]
    peer = np.array(json.loads(output))[order] == truth[order]
    difference = ours.astype(float) - peer.astype(float)
    return Result(
        metric="accuracy",
        ours=float(ours.mean()),
        peer=float(peer.mean()),
        error=float(difference.std(ddof=1) / np.sqrt(len(difference))),
        peer_is="the same in Keras",
        least=least,
    )


def _predict(client: Client, data: Images) -> NDArray[Any]:
    wanted = {
        "model": _train(client, data, {}),
        "dataset": f"{data.name}-t10k",
        "columns": ["prediction"],
    }
    job = client.submit("predict", wanted)["id"]
    succeed(client, job)
    with tempfile.TemporaryDirectory() as folder:
        client.output(job, Path(folder, "output"))
        return np.array(pq.read_table(Path(folder, "output"))["prediction"].to_pylist(), int)


def _score(make: Callable[[], Images], client: Client, params: Params) -> Score:
    data = make()
    tested = {"model": _train(client, data, params), "dataset": f"{data.name}-t10k"}
    result = succeed(client, client.submit("evaluate", tested)["id"])["result"]
    return Score("accuracy", result["metrics"]["accuracy"])


def _train(client: Client, data: Images, params: Params) -> str:
    """Return the version that learned from all of the training images."""
    for part, path in data.zips.items():
        upload(client, f"{data.name}-{part}", path)
    spec = {
        "model": data.name,
        "dataset": f"{data.name}-train",
        "algorithm": "cnn",
        "target": "label",
        "params": dict(params),
        "split": {"validation": 0.0, "test": 0.0},
    }
    result = succeed(client, client.submit("train", spec, timeout_s=TIMEOUT_S)["id"])["result"]
    return f"{result['model']}@{result['version']}"
