"""Hostile archives of images."""

from __future__ import annotations

import stat
import struct
import warnings
import zipfile
import zlib

from acceptance.hostile.files import ZIP, Case, archive, chunk, flipped, image, object_array, pickled, png

END = b"PK\5\6"
CENTRAL = b"PK\1\2"


def named(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    info.external_attr = mode << 16
    return info


def beside(name: str | zipfile.ZipInfo, content: bytes | None = None) -> bytes:
    """Return an archive with a sound image and another member."""
    return archive(("a/sound.png", image()), (name, image() if content is None else content))


def patched(data: bytes, marker: bytes, offset: int, value: bytes) -> bytes:
    place = data.index(marker) + offset
    return data[:place] + value + data[place + len(value) :]


def overlapping(count: int) -> bytes:
    """Return an archive in which ``count`` entries of the directory share one local member."""
    data = archive(("a/0.png", bytes(10 << 20)))
    start, end = data.index(CENTRAL), data.rindex(END)
    entry = data[start:end]
    entries = b"".join(entry.replace(b"a/0.png", f"a/{i % 10}.png".encode()) for i in range(count))
    tail = struct.pack("<4sHHHHIIH", END, 0, 0, count, count, len(entries), start, 0)
    return data[:start] + entries + tail


def many_members(count: int) -> bytes:
    """Return an archive whose directory has ``count`` entries for nothing."""
    entries = b"".join(
        struct.pack("<4s6H3I5H2I", CENTRAL, 20, 20, 0, 0, 0, 33, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0) + b"a/%07d" % i
        for i in range(count)
    )
    zip64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(entries), 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(entries), 1)
    return (
        entries
        + zip64
        + locator
        + struct.pack("<4sHHHHIIH", END, 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    )


def nested(depth: int) -> bytes:
    data = bytes(1 << 20)
    for level in range(depth):
        data = archive(*((f"a/{level}{i}.zip", data) for i in range(4)))
    return data


def twice() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return archive(("a/b.png", image()), ("a/b.png", image()))


def huge_jpeg() -> bytes:
    data = image("JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", 65_000, 65_000) + data[place + 4 :]


ZEROS = zlib.compress(bytes(80 << 20), 6)
PNG_LARGE = image(size=(200, 200))
JPEG_LARGE = image("JPEG", size=(200, 200))
SOUND = archive(("a/1.png", PNG_LARGE), ("b/2.jpg", JPEG_LARGE))

CASES: dict[str, Case] = {
    "bomb: one member of zeros": Case(ZIP, lambda: beside("a/b.png", bytes(100 << 20)), "times its size"),
    "bomb: entries that share a member": Case(ZIP, lambda: overlapping(50_000), "is twice in the archive"),
    "bomb: ten entries that share a member": Case(ZIP, lambda: overlapping(10), "a/0.png"),
    "bomb: archives in archives": Case(ZIP, lambda: nested(5), "is neither PNG nor JPEG"),
    "bomb: an image that unpacks to more than it shows": Case(
        ZIP, lambda: beside("a/b.png", png(8, 8, ZEROS)), None
    ),
    "bomb: an image of few bytes and many pixels": Case(
        ZIP, lambda: beside("a/b.png", png(50_000, 50_000, ZEROS)), "2500000000 pixels"
    ),
    "bomb: as many pixels as are allowed, in 16 bits": Case(
        ZIP, lambda: beside("a/b.png", png(8_000, 5_000, ZEROS, depth=16)), 2
    ),
    "bomb: compressed text in an image": Case(
        ZIP, lambda: beside("a/b.png", png(8, 8, ZEROS, chunk(b"zTXt", b"k\0\0" + ZEROS))), None
    ),
    "bomb: compressed colour profile in an image": Case(
        ZIP, lambda: beside("a/b.png", png(8, 8, ZEROS, chunk(b"iCCP", b"k\0\0" + ZEROS))), None
    ),
    "jpeg that claims 65,000 by 65,000 pixels": Case(
        ZIP, lambda: beside("a/b.jpg", huge_jpeg()), "4225000000 pixels"
    ),
    "200,001 members": Case(ZIP, lambda: many_members(200_001), "has 200001 members"),
    "a directory of more than 24 MiB": Case(ZIP, lambda: many_members(500_000), "list of members is larger"),
    "a directory that lies outside": Case(
        ZIP, lambda: patched(SOUND, END, 16, b"\xf0\xff\xff\x7f"), "lies outside of the file"
    ),
    "a directory that claims another number of members": Case(
        ZIP, lambda: patched(SOUND, END, 8, b"\xff\xff\xff\xff"), None
    ),
    "a member smaller than it claims": Case(
        ZIP, lambda: patched(SOUND, CENTRAL, 24, b"\xff\xff\xff\x7f"), None
    ),
    "a member larger than it claims": Case(ZIP, lambda: patched(SOUND, CENTRAL, 24, b"\1\0\0\0"), "a/1.png"),
    "a member packed smaller than it claims": Case(
        ZIP, lambda: patched(SOUND, CENTRAL, 20, b"\xff\xff\xff\x7f"), None
    ),
    "a member with a wrong checksum": Case(ZIP, lambda: patched(SOUND, CENTRAL, 16, b"\0\0\0\0"), "a/1.png"),
    "a member of another name in its own header": Case(
        ZIP, lambda: SOUND.replace(b"a/1.png", b"a/3.png", 1), "a/1.png"
    ),
    "traversal: dots at the start": Case(
        ZIP, lambda: beside("../../a/b.png"), "is not a plain relative path"
    ),
    "traversal: dots in the middle": Case(
        ZIP, lambda: beside("a/../../b.png"), "is not a plain relative path"
    ),
    "traversal: absolute": Case(ZIP, lambda: beside("/tmp/a.png"), "is not a plain relative path"),
    "traversal: backslashes": Case(ZIP, lambda: beside(named("a\\..\\..\\b.png")), "holds a backslash"),
    "traversal: a drive": Case(ZIP, lambda: beside("C:/b.png"), "is not a plain relative path"),
    "traversal: a server": Case(ZIP, lambda: beside("//server/b.png"), "is not a plain relative path"),
    "a symbolic link": Case(
        ZIP,
        lambda: beside(named("a/l.png", stat.S_IFLNK | 0o777), b"/etc/passwd"),
        "is a link or a special file",
    ),
    "a device": Case(
        ZIP, lambda: beside(named("a/d.png", stat.S_IFCHR | 0o666)), "is a link or a special file"
    ),
    "a pipe": Case(
        ZIP, lambda: beside(named("a/p.png", stat.S_IFIFO | 0o666)), "is a link or a special file"
    ),
    "the same name twice": Case(ZIP, twice, "is twice in the archive"),
    "a name with NUL": Case(
        ZIP, lambda: beside("a/bXpng").replace(b"a/bXpng", b"a/b\0png"), "holds control characters"
    ),
    "a name with an escape sequence": Case(
        ZIP, lambda: beside(named("a/\x1b[2J.png")), "holds control characters"
    ),
    "a name that turns the writing": Case(
        ZIP, lambda: beside(named("a/\u202egnp.png")), "holds control characters"
    ),
    "a name of 60,000 characters": Case(ZIP, lambda: beside("a/" + "x" * 60_000), "is longer than"),
    "a path 500 folders deep": Case(ZIP, lambda: beside("a/" * 480 + "b.png"), "is not in a label's folder"),
    "an encrypted member": Case(
        ZIP, lambda: patched(patched(SOUND, b"PK\3\4", 6, b"\1"), CENTRAL, 8, b"\1"), "is encrypted"
    ),
    "a method that unpacks by large tables": Case(
        ZIP, lambda: archive(("a/b.png", image()), method=zipfile.ZIP_LZMA), "a method other than deflate"
    ),
    "a pickle as an image": Case(ZIP, lambda: beside("a/b.png", pickled()), "is neither PNG nor JPEG"),
    "an array of objects as an image": Case(
        ZIP, lambda: beside("a/b.png", object_array()), "is neither PNG nor JPEG"
    ),
    "an archive of arrays of objects": Case(ZIP, lambda: archive(("arr_0.npy", object_array())), "arr_0.npy"),
    "an SVG as an image": Case(
        ZIP, lambda: beside("a/b.png", b"<svg><script/></svg>"), "is neither PNG nor JPEG"
    ),
    "an EPS as an image": Case(
        ZIP,
        lambda: beside("a/b.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "is neither PNG nor JPEG",
    ),
    "a GIF as an image": Case(
        ZIP, lambda: beside("a/b.png", image("GIF", mode="L")), "is neither PNG nor JPEG"
    ),
    "a truncated PNG": Case(ZIP, lambda: beside("a/b.png", PNG_LARGE[:-1000]), "is a broken image"),
    "a truncated JPEG": Case(ZIP, lambda: beside("a/b.jpg", JPEG_LARGE[:-1000]), "is a broken image"),
    "a PNG with flipped bits": Case(
        ZIP, lambda: beside("a/b.png", flipped(PNG_LARGE, 1, 20, 50)), "is a broken image"
    ),
    "a JPEG with flipped bits": Case(ZIP, lambda: beside("a/b.jpg", flipped(JPEG_LARGE, 1, 20, 20)), None),
    "an archive with flipped bits": Case(ZIP, lambda: flipped(SOUND, 3, 200), None),
    "a truncated archive": Case(ZIP, lambda: SOUND[:-30], "cannot be read as a zip archive"),
    "an archive of nothing": Case(ZIP, lambda: archive(), "cannot be read as a zip archive"),
    "no archive": Case(ZIP, pickled, "cannot be read as a zip archive"),
    "an image of its own": Case(ZIP, image, "cannot be read as a zip archive"),
    "an archive behind a program": Case(ZIP, lambda: b"#!/bin/sh\nexit\n" * 1000 + SOUND, 2),
    "labels of HTML and formulas": Case(
        ZIP, lambda: archive(("<script>/1.png", image()), ("=cmd|x!A1/2.png", image())), 2
    ),
}
