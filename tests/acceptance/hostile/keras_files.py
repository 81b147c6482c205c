"""``.keras`` files that want to do harm, or are not what they say."""

from __future__ import annotations

import io
import json
import stat
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from acceptance.hostile.files import Case, archive, flipped, object_array, pickled
from headrace.specs.keras_file import MEDIA_TYPE

STORED = zipfile.ZIP_STORED
METADATA = json.dumps({"keras_version": "3.15.1", "date_saved": "2026-11-27@12:00:00"}).encode()


def layer(name: str, **settings: Any) -> dict[str, Any]:
    """Return one layer of a config."""
    return {"module": "keras.layers", "class_name": name, "registered_name": None, "config": settings}


FIRST = layer("InputLayer", batch_shape=[None, 8, 8, 1])
FLAT = layer("Flatten")
LAST = layer("Dense", units=2, activation="softmax")


def config(*layers: Any, **other: Any) -> bytes:
    """Return a Sequential config."""
    found = {"class_name": "Sequential", "config": {"name": "net", "layers": [FIRST, *layers]}, **other}
    return json.dumps(found).encode()


SOUND = config(FLAT, LAST)


def hdf5(write: Callable[[Any], None] | None = None, *, kernel: Any = None) -> bytes:
    """Return the weights of `SOUND`, after ``write`` has had the file."""
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        values = np.ones((64, 2), np.float32) if kernel is None else kernel
        file.create_dataset("layers/dense/vars/0", data=values)
        file.create_dataset("layers/dense/vars/1", data=np.zeros(2, np.float32))
        if write is not None:
            write(file)
    return data.getvalue()


def keras(
    network: bytes = SOUND,
    weights: bytes | None = None,
    *more: tuple[str | zipfile.ZipInfo, bytes],
    metadata: bytes = METADATA,
    method: int = STORED,
) -> bytes:
    """Return a ``.keras`` file."""
    found = hdf5() if weights is None else weights
    members = [("metadata.json", metadata), ("config.json", network), ("model.weights.h5", found)]
    return archive(*members, *more, method=method)


def _link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def _linked() -> bytes:
    members = [("metadata.json", METADATA), ("config.json", SOUND)]
    return archive(*members, (_link("model.weights.h5"), b"/etc/passwd"), method=STORED)


def _encrypted() -> bytes:
    data = bytearray(keras())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark)
        while place >= 0:
            data[place + at] |= 1
            place = data.find(mark, place + 4)
    return bytes(data)


def _twice() -> bytes:
    data = io.BytesIO(keras())
    with (
        zipfile.ZipFile(data, "a") as file,
        zipfile.ZipFile(io.BytesIO(keras())) as other,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        file.writestr("config.json", other.read("config.json"))
    return data.getvalue()


def _external(file: Any) -> None:
    file["layers/dense/vars/2"] = h5py.ExternalLink("/etc/passwd", "/x")


def _soft(file: Any) -> None:
    file["layers/dense/vars/2"] = h5py.SoftLink("/layers/dense/vars/0")


def _hard(file: Any) -> None:
    file["layers/dense/vars/2"] = file["layers/dense/vars/0"]


def _circle(file: Any) -> None:
    file["layers/dense/again"] = file["layers"]


def _outside(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", (16,), np.uint8, external=[("/etc/passwd", 0, 16)])


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((16,), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (16,))
    file.create_virtual_dataset("layers/dense/vars/2", layout)


def _shape_bomb(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", (10**6, 10**5), np.float32, chunks=(1000, 1000))


def _late_bomb(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", (10**10,), np.float32)


def _compressed(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", data=np.zeros(10**6), compression="gzip")


def _strings(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", data=["a" * 10], dtype=h5py.string_dtype())


def _references(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", data=[file.ref], dtype=h5py.ref_dtype)


def _compound(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", data=np.zeros(2, [("a", "f4"), ("b", "f4")]))


def _type(file: Any) -> None:
    file["layers/dense/type"] = np.dtype("f8")


def _deep(file: Any) -> None:
    file.create_group("/".join(["a"] * 200))


def _many(file: Any) -> None:
    group = file.create_group("many")
    for i in range(25_000):
        group.create_group(str(i))


def _name(file: Any) -> None:
    file.create_dataset("layers/dense/vars/\u202e", data=np.zeros(2))


def _bomb() -> bytes:
    return keras(SOUND, bytes(300 << 20), method=zipfile.ZIP_DEFLATED)


def _pickle_inside() -> bytes:
    return archive(("archive/data.pkl", pickled()), ("archive/version", b"3"), method=STORED)


LAMBDA = layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEAAAA="}})
CUSTOM = {**layer("Dense", units=2), "registered_name": "evil>Dense", "module": "evil"}
SAVED = layer("TFSMLayer", filepath="/tmp/x", call_endpoint="serve")
HUGE = np.zeros((64, 2), np.float32)
HUGE[0, 0] = np.inf

_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    # No .keras file at all, whatever it is called.
    "an h5 file": (hdf5, "this is an HDF5 file (.h5)"),
    "a pickle": (pickled, "this is a pickle"),
    "an object array": (object_array, "this is a NumPy array"),
    "a script before a zip": (lambda: b"#!/bin/sh\nrm -rf /\n" + keras(), "this is no zip file"),
    "a zip that is cut": (lambda: keras()[:200], "not a readable zip file"),
    "an empty zip": (lambda: archive(method=STORED), "this is no zip file"),
    # Zips.
    "a pickle in a zip": (_pickle_inside, "not a plain stored file"),
    "a joblib member": (lambda: keras(SOUND, None, ("model.joblib", pickled())), "holds 'model.joblib'"),
    "a zip bomb": (_bomb, "not a plain stored file"),
    "traversal": (lambda: keras(SOUND, None, ("../evil.py", b"x")), "not a plain stored file"),
    "an absolute path": (lambda: keras(SOUND, None, ("/tmp/evil.py", b"x")), "not a plain stored file"),
    "assets": (lambda: keras(SOUND, None, ("assets/x.so", b"x")), "not a plain stored file"),
    "a link": (_linked, "is a link or a device"),
    "a member twice": (_twice, "different ones are right"),
    "encrypted": (_encrypted, "cannot be unpacked"),
    "no weights": (
        lambda: archive(("config.json", SOUND), ("metadata.json", METADATA), method=STORED),
        "lacks model.weights.h5",
    ),
    "a config of many megabytes": (lambda: keras(SOUND + b" " * (1 << 20)), "bytes, at most"),
    "a checksum that is wrong": (
        lambda: keras().replace(b'"softmax"', b'"softmay"', 1),
        "cannot be unpacked",
    ),
    # Configs.
    "a Lambda": (lambda: keras(config(FLAT, LAMBDA, LAST)), "'Lambda' is not allowed"),
    "a TFSMLayer": (lambda: keras(config(FLAT, SAVED, LAST)), "'TFSMLayer' is not allowed"),
    "a custom object": (lambda: keras(config(FLAT, CUSTOM)), "custom objects are not allowed"),
    "an unknown layer": (lambda: keras(config(FLAT, layer("Exec"), LAST)), "'Exec' is not allowed"),
    "a custom model": (
        lambda: keras(SOUND.replace(b'"Sequential"', b'"Evil"')),
        "class_name: Input should be 'Sequential'",
    ),
    "an initializer from elsewhere": (
        lambda: keras(
            config(FLAT, layer("Dense", units=2, kernel_initializer={"module": "os", "class_name": "system"}))
        ),
        "is no initializer that is allowed",
    ),
    "10^12 parameters": (
        lambda: keras(config(FLAT, layer("Dense", units=10**6), layer("Dense", units=10**6), LAST)),
        "the limit is 100,000,000",
    ),
    "a model inside": (lambda: keras(config(layer("Functional", layers=[]))), "model inside a model"),
    "an embedding": (
        lambda: keras(
            config(FLAT, LAST)
            .replace(b"[null, 8, 8, 1]", b"[null, 8]")
            .replace(
                b'"Flatten", "registered_name": null, "config": {}',
                b'"Embedding", "registered_name": null, "config": {"input_dim": 9, "output_dim": 2}',
            )
        ),
        "does not say which tokens",
    ),
    "no JSON": (lambda: keras(b"{"), "no readable JSON"),
    "a list": (lambda: keras(b"[]"), "no JSON object"),
    "JSON too deep": (lambda: keras(b"[" * 100_000 + b"]" * 100_000), "no readable JSON"),
    "not a number": (lambda: keras(config(FLAT, LAST, x=float("nan"))), "no readable JSON"),
    "half a surrogate pair": (lambda: keras(config(FLAT, LAST, x="\ud800")), "no readable JSON"),
    "metadata that is none": (lambda: keras(metadata=b"\xff\xfe"), "no readable JSON"),
    # HDF5.
    "weights that are a pickle": (lambda: keras(SOUND, pickled()), "weights cannot be read"),
    "weights cut": (lambda: keras(SOUND, hdf5()[:-600]), "weights"),
    "an external link": (lambda: keras(SOUND, hdf5(_external)), "is a link, to another place"),
    "a soft link": (lambda: keras(SOUND, hdf5(_soft)), "is a link, to another place"),
    "a hard link": (lambda: keras(SOUND, hdf5(_hard)), "is linked to more than once"),
    "a circle": (lambda: keras(SOUND, hdf5(_circle)), "is linked to more than once"),
    "values in another file": (lambda: keras(SOUND, hdf5(_outside)), "in another file"),
    "a virtual dataset": (lambda: keras(SOUND, hdf5(_virtual)), "in another file"),
    "a shape without values": (lambda: keras(SOUND, hdf5(_shape_bomb)), "but does not hold them"),
    "a long vector without values": (lambda: keras(SOUND, hdf5(_late_bomb)), "but does not hold them"),
    "compressed weights": (lambda: keras(SOUND, hdf5(_compressed)), "is compressed"),
    "strings": (lambda: keras(SOUND, hdf5(_strings)), "weights are numbers"),
    "references": (lambda: keras(SOUND, hdf5(_references)), "weights are numbers"),
    "records": (lambda: keras(SOUND, hdf5(_compound)), "weights are numbers"),
    "a named type": (lambda: keras(SOUND, hdf5(_type)), "neither a group nor an array"),
    "groups too deep": (lambda: keras(SOUND, hdf5(_deep)), "lies deeper than"),
    "groups too many": (lambda: keras(SOUND, hdf5(_many)), "more than 20,000 objects"),
    "a name that turns round": (lambda: keras(SOUND, hdf5(_name)), "a name that Keras does not give"),
    "infinite weights": (lambda: keras(SOUND, hdf5(kernel=HUGE)), "not finite"),
    **{
        f"flipped bits {seed}": (lambda seed=seed: keras(SOUND, flipped(hdf5(), seed, 40)), "weights")
        for seed in range(3)
    },
}

CASES: dict[str, Case] = {f"keras: {name}": Case(MEDIA_TYPE, *case) for name, case in _FILES.items()}
