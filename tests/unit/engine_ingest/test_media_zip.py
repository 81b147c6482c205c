import io
import stat
import struct
import time
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from headrace_workers.engine.data import media_zip

ZIP = "application/zip"


def image(shade: int = 0, *, size: tuple[int, int] = (4, 3), mode: str = "L", kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new(mode, size, shade).save(data, kind)
    return data.getvalue()


def archive(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return data.getvalue()


def test_images_and_labels_in_order(ingest: Any) -> None:
    pictures = {"b/2.png": image(2), "a/x.jpg": image(1, kind="JPEG"), "b/10.png": image(3, mode="RGB")}
    found = ingest(
        archive(*pictures.items(), ("b/", b""), ("__MACOSX/b/._2.png", b"x"), (".DS_Store", b"x")), ZIP
    )
    assert found.columns == {"image": "image", "label": "category"}
    order = ["a/x.jpg", "b/10.png", "b/2.png"]
    assert found.table.to_pydict() == {"image": [pictures[n] for n in order], "label": ["a", "b", "b"]}
    profile = found.profile["columns"]
    assert profile["image"]["sizes"] == [{"width": 4, "height": 3, "count": 3}]
    assert profile["image"]["modes"] == {"L": 2, "RGB": 1}
    assert profile["label"]["top"] == [{"value": "b", "count": 2}, {"value": "a", "count": 1}]
    shown = found.rows["rows"][0]["image"]
    assert (shown["bytes"], shown["width"], shown["height"], shown["mode"]) == (
        len(pictures["a/x.jpg"]),
        4,
        3,
        "L",
    )
    assert shown["thumbnail"].startswith("data:image/png;base64,")


def test_one_enclosing_folder_is_allowed(ingest: Any) -> None:
    found = ingest(archive(("digits/3/1.png", image()), ("digits/7/1.png", image())), ZIP)
    assert found.table["label"].to_pylist() == ["3", "7"]


def named(name: str, *, attributes: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    # Past zipfile's own cleaning of names.
    info.filename = name
    info.external_attr = attributes << 16
    return info


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("/etc/a.png", image()), "'/etc/a.png' is not a plain relative path"),
        (("../a/b.png", image()), "'../a/b.png' is not a plain relative path"),
        (("a/../b.png", image()), "'a/../b.png' is not a plain relative path"),
        (("a//b.png", image()), "'a//b.png' is not a plain relative path"),
        (("C:/b.png", image()), "'C:/b.png' is not a plain relative path"),
        ((named("a\\..\\b.png"), image()), "holds a backslash"),
        ((named("a/b\n.png"), image()), "holds control characters"),
        ((named("a/l.png", attributes=stat.S_IFLNK | 0o777), b"/etc/passwd"), "'a/l.png' is a link"),
        ((named("a/f", attributes=stat.S_IFIFO | 0o777), b""), "'a/f' is a link or a special file"),
        (("b.png", image()), "'b.png' is not in a label's folder"),
        (("a/b/c/d.png", image()), "'a/b/c/d.png' is not in a label's folder"),
        (("a/notes.txt", b"hello"), "'a/notes.txt' is neither PNG nor JPEG"),
        (("a/x.png", image(kind="GIF")), "'a/x.png' is neither PNG nor JPEG"),
        (("a/cut.png", image(size=(50, 50))[:-20]), "'a/cut.png' is a broken image"),
        (("a/cut.jpg", image(size=(500, 500), kind="JPEG")[:-400]), "'a/cut.jpg' is a broken image"),
        (("a/empty.png", b""), "'a/empty.png' is neither PNG nor JPEG"),
    ],
)
def test_names_the_member_and_the_reason(ingest: Any, member: Any, message: str) -> None:
    assert message in ingest(archive(("a/ok.png", image()), member), ZIP).message


def test_nul_in_a_name(ingest: Any) -> None:
    data = archive(("a/bXpng", image())).replace(b"a/bXpng", b"a/b\0png")
    assert "control characters" in ingest(data, ZIP).message


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(ingest: Any) -> None:
    data = archive(("a/b.png", image()), ("a/b.png", image(1)))
    assert ingest(data, ZIP).message == "'a/b.png' is twice in the archive"


def test_encrypted(ingest: Any) -> None:
    data = bytearray(archive(("a/b.png", image())))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    assert ingest(bytes(data), ZIP).message == "'a/b.png' is encrypted"


def test_other_compression(ingest: Any) -> None:
    data = archive(("a/b.png", image()), method=zipfile.ZIP_LZMA)
    assert "a method other than deflate" in ingest(data, ZIP).message


def test_no_images(ingest: Any) -> None:
    assert "holds no files" in ingest(archive(("a/", b""), (".x", b"")), ZIP).message
    assert "cannot be read as a zip archive" in ingest(b"no zip", ZIP).message
    assert "cannot be read as a zip archive" in ingest(b"", ZIP).message


def test_caps(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    good = archive(("a/1.png", image()), ("a/2.png", image()))
    monkeypatch.setattr(media_zip, "MAX_MEMBERS", 1)
    assert "has 2 members" in ingest(good, ZIP).message
    monkeypatch.undo()
    monkeypatch.setattr(media_zip, "MAX_TOTAL_BYTES", len(image()))
    assert "'a/2.png' exceeds it" in ingest(good, ZIP).message
    monkeypatch.undo()
    monkeypatch.setattr(media_zip, "MAX_DIRECTORY_BYTES", 100)
    assert "list of members is larger" in ingest(good, ZIP).message


def test_bombs(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = archive(("a/1.png", bytes(60 << 20)))
    assert "unpacks to more than 100 times its size, at 'a/1.png'" in ingest(zeros, ZIP).message
    stored = archive(("a/1.png", bytes(33 << 20)), method=zipfile.ZIP_STORED)
    assert "'a/1.png' is larger than 32 MiB" in ingest(stored, ZIP).message
    # A PNG that claims many pixels is refused by its header, before it is decoded.
    wide = bytearray(image())
    wide[16:24] = struct.pack(">II", 7000, 7000)
    wide[29:33] = struct.pack(">I", zlib.crc32(wide[12:29]))
    assert "has 7000 by 7000 pixels" in ingest(archive(("a/1.png", bytes(wide))), ZIP).message


def test_a_lying_size_is_not_believed(ingest: Any) -> None:
    data = bytearray(archive(("a/1.png", image(size=(40, 40))), method=zipfile.ZIP_STORED))
    central = data.index(b"PK\1\2")
    data[central + 24 : central + 28] = struct.pack("<I", 10)
    assert "'a/1.png'" in ingest(bytes(data), ZIP).message


def test_types(ingest: Any) -> None:
    good = archive(("a/1.png", image()))
    assert ingest(good, ZIP, label="text").columns == {"image": "image", "label": "text"}
    assert "not size (number)" in ingest(good, ZIP, size="number").message
    assert "not label (integer)" in ingest(good, ZIP, label="integer").message


SOUND = archive(*((f"{i % 2}/{i}.png", image(i)) for i in range(4)))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_bad_data_or_harmless(ingest: Any, flips: list[tuple[int, int]]) -> None:
    data = bytearray(SOUND)
    for place, value in flips:
        data[place] = value
    last = ingest(bytes(data), ZIP).last
    assert last.type == "done" or (last.error == "BadData" and last.message), last


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, len(SOUND) - 1))
def test_cut_short(ingest: Any, length: int) -> None:
    assert ingest(SOUND[:length], ZIP).message


def test_thousands_of_small_images_take_seconds(ingest: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 28, 28), dtype=np.uint8)
    members = []
    for index, picture in enumerate(pixels):
        data = io.BytesIO()
        Image.fromarray(picture).save(data, "PNG")
        members.append((f"{index % 10}/{index}.png", data.getvalue()))
    content = archive(*members)
    start = time.process_time()
    assert ingest(content, ZIP).table.num_rows == 2000
    assert time.process_time() - start < 3


def sound(hertz: float = 440, seconds: float = 0.25, rate: int = 8000) -> bytes:
    data = io.BytesIO()
    samples = 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    soundfile.write(data, samples, rate, format="WAV")
    return data.getvalue()


def test_sounds_and_labels_in_order(ingest: Any) -> None:
    sounds = {"low/1.wav": sound(200), "high/1.wav": sound(800, 0.5), "high/2.WAV": sound(900, rate=16_000)}
    found = ingest(archive(*sounds.items(), ("low/", b"")), ZIP)
    assert found.columns == {"audio": "audio", "label": "category"}
    order = ["high/1.wav", "high/2.WAV", "low/1.wav"]
    assert found.table.to_pydict() == {"audio": [sounds[n] for n in order], "label": ["high", "high", "low"]}
    profile = found.profile["columns"]["audio"]
    assert profile["seconds"] == {"min": 0.25, "max": 0.5, "mean": pytest.approx(1 / 3)}
    assert profile["rates"] == {"8000": 2, "16000": 1}
    assert profile["channels"] == {"1": 3}
    shown = found.rows["rows"][0]["audio"]
    assert (shown["seconds"], shown["rate"], shown["channels"]) == (0.5, 8000, 1)
    assert shown["thumbnail"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((("a/1.wav", sound()), ("a/2.png", image())), "'a/2.png' cannot be used: this is no WAV file"),
        ((("a/1.png", image()), ("a/2.wav", sound())), "'a/2.wav' is neither PNG nor JPEG"),
        ((("a/1.wav", sound()[:20]),), "'a/1.wav' cannot be used: this is no WAV file"),
        ((("a/1.wav", sound()), ("a/2.wav", sound()[:44])), "'a/2.wav' cannot be used: it is empty"),
    ],
)
def test_an_archive_holds_one_medium_of_whole_files(
    ingest: Any, members: tuple[tuple[str, bytes], ...], said: str
) -> None:
    assert said in ingest(archive(*members), ZIP).message


def test_types_of_an_archive_of_sounds(ingest: Any) -> None:
    found = ingest(archive(("a/1.wav", sound())), ZIP, image="image")
    assert "an archive of WAV files has the columns audio (audio) and label" in found.message
