"""The source of the four packages, parsed once."""

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("platform", "workers", "web", "migrations")


class Source(NamedTuple):
    """One module: its path from the root of the repository, its number of lines, its syntax tree."""

    path: str
    lines: int
    tree: ast.Module


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def sources() -> list[Source]:
    paths = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    texts = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths]
    return [Source(path, text.count("\n"), ast.parse(text, path)) for path, text in texts]
