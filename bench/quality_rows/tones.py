"""Tones made here: 1,200 noisy sounds of half a second, of eight kinds and any pitch."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
from bench.data import HERE
from bench.deployment import TIMEOUT_S, succeed, upload
from bench.quality_row import Result, Row
from numpy.typing import NDArray
from scipy import signal

from headrace.client import Client

PEER = HERE / "peers" / "keras_sounds.py"
RATE, SAMPLES = 16_000, 8_000
ROWS, TEST = 1200, 400
NOISE = 1.5
"""Of white noise to the tone, by standard deviation."""

KINDS = ("sine", "square", "sawtooth", "rising", "falling", "tremolo", "vibrato", "fifth")
Parts = dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]]


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return [Row("cnn", partial(_compare, cache(_parts)))]


def _parts() -> Parts:
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.arange(ROWS) % len(KINDS))
    sounds = np.stack([_sound(KINDS[kind], rng) for kind in kinds]).astype(np.float32)
    return {"train": (sounds[TEST:], kinds[TEST:]), "test": (sounds[:TEST], kinds[:TEST])}


def _sound(kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    seconds = np.arange(SAMPLES) / RATE
    pitch = 200 * 2 ** rng.uniform(0, 3)
    phase = 2 * np.pi * pitch * seconds + rng.uniform(0, 2 * np.pi)
    glide = pitch * 2 * np.pi * (2**seconds - 1) / np.log(2)
    made = {
        "sine": lambda: np.sin(phase),
        "square": lambda: signal.square(phase),
        "sawtooth": lambda: signal.sawtooth(phase),
        "rising": lambda: np.sin(glide),
        "falling": lambda: np.sin(glide)[::-1],
        "tremolo": lambda: np.sin(phase) * (1 + np.sin(2 * np.pi * 8 * seconds)) / 2,
        "vibrato": lambda: np.sin(phase + 6 * np.sin(2 * np.pi * 6 * seconds)),
        "fifth": lambda: np.sin(phase) + np.sin(1.5 * phase),
    }[kind]()
    noisy = made / made.std() + NOISE * rng.normal(size=SAMPLES)
    return np.asarray(0.1 * noisy * rng.uniform(0.2, 1.0))


def _compare(make: Any, client: Client) -> Result:
    parts = make()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (x_train, y_train), (x_test, y_test) = parts["train"], parts["test"]
        np.savez(folder / "parts.npz", x_train=x_train, y_train=y_train, x_test=x_test)
        command = [sys.executable, str(PEER), str(folder / "parts.npz"), str(RATE)]
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        order = _upload(client, parts, folder)
        predicted = _predict(client, folder)
    ours = predicted == np.array(KINDS)[y_test[order]]
    peer = np.array(json.loads(output))[order] == y_test[order]
    difference = ours.astype(float) - peer.astype(float)
    return Result(
        metric="accuracy",
        ours=float(ours.mean()),
        peer=float(peer.mean()),
        error=float(difference.std(ddof=1) / np.sqrt(len(difference))),
        peer_is="the same in Keras, on its MelSpectrogram",
    )


def _upload(client: Client, parts: Parts, folder: Path) -> NDArray[np.int64]:
    """Upload both parts, and return the order in which the rows of the test part stand: by label, by name."""
    for part, (sounds, kinds) in parts.items():
        path = folder / f"{part}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for i, (sound, kind) in enumerate(zip(sounds, kinds, strict=True)):
                file = io.BytesIO()
                soundfile.write(file, sound, RATE, format="WAV", subtype="FLOAT")
                archive.writestr(f"{KINDS[kind]}/{i:05}.wav", file.getvalue())
        upload(client, f"tones-{part}", path)
    names = np.array([KINDS[kind] for kind in parts["test"][1]])
    return np.argsort(names, kind="stable")


def _predict(client: Client, folder: Path) -> NDArray[Any]:
    spec = {
        "model": "tones",
        "dataset": "tones-train",
        "algorithm": "cnn",
        "target": "label",
        "split": {"validation": 0.0, "test": 0.0},
    }
    result = succeed(client, client.submit("train", spec, timeout_s=TIMEOUT_S)["id"])["result"]
    wanted = {
        "model": f"tones@{result['version']}",
        "dataset": "tones-test",
        "columns": ["prediction"],
    }
    job = client.submit("predict", wanted)["id"]
    succeed(client, job)
    client.output(job, folder / "output")
    return np.array(pq.read_table(folder / "output")["prediction"].to_pylist())
