"""Images for `bench/quality.py`: 60,000 to learn from, 10,000 to test, as their makers divided them.

The job trains on one dataset and an evaluate job tests the version on the other; the peer is the same network
written in Keras, in a process of its own, on the same rows.
"""

from __future__ import annotations

import gzip
import json
import math
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench.data import FOLDER, HERE
from bench.deployment import succeed, upload
from bench.tables import Result
from numpy.typing import NDArray

from headrace.client import Client

PEER = HERE / "peers" / "keras_images.py"
FASHION = "dataset-fashion-mnist"

Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Images(NamedTuple):
    """One set: a zip for each part, both as arrays, and how many test rows there are."""

    name: str
    zips: dict[str, Path]
    arrays: Path
    test_rows: int


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
    return Images(name, zips, arrays, len(np.load(arrays)["y_test"]))


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


def compare(client: Client, data: Images, tuned: Mapping[str, Any], floor: float) -> Iterator[Result]:
    """Yield two rows: the default network, and that of the ``tuned`` params, which must reach ``floor``."""
    for part, path in data.zips.items():
        upload(client, f"{data.name}-{part}", path)
    best, best_peer = _job(client, data, tuned), _peer(data, tuned)
    if best < floor:
        print(f"not met: {data.name}: {best:.4f} is below {floor}", file=sys.stderr)
    default, default_peer = _job(client, data, {}), _peer(data, {})
    yield _row(data, "cnn", default, default_peer, best)
    yield _row(data, f"cnn {json.dumps(dict(tuned))}", best, best_peer, None)


def _row(data: Images, algorithm: str, ours: float, peer: float, tuned: float | None) -> Result:
    error = math.sqrt((ours * (1 - ours) + peer * (1 - peer)) / data.test_rows)
    return Result(data.name, algorithm, "accuracy", ours, peer, error, "the same in Keras", tuned)


def _job(client: Client, data: Images, params: Mapping[str, Any]) -> float:
    split = {"validation": 0.0, "test": 0.0}
    spec = {"model": data.name, "dataset": f"{data.name}-train", "algorithm": "cnn", "target": "label"}
    trained = client.submit("train", spec | {"params": dict(params), "split": split}, timeout_s=7200)
    version = succeed(client, trained["id"])["result"]["version"]
    tested = {"model": f"{data.name}@{version}", "dataset": f"{data.name}-t10k"}
    found: float = succeed(client, client.submit("evaluate", tested)["id"])["result"]["metrics"]["accuracy"]
    return found


def _peer(data: Images, params: Mapping[str, Any]) -> float:
    command = [sys.executable, PEER, data.arrays, json.dumps(dict(params))]
    found: float = json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL))["accuracy"]
    return found
