"""The lock files: pinned, with hashes, without addresses, and what `pyproject.toml` asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILES = ("base.txt", "build.txt", "dev.txt")


def _pins(path: Path) -> list[Requirement]:
    """Return the pins of a lock file. Raises where a line is no pin with hashes."""
    entries = path.read_text().replace("\\\n", " ").strip().splitlines()
    pins = []
    for entry in entries:
        requirement, *hashes = re.split(r"\s+--hash=", entry.strip())
        assert hashes, entry
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), entry
        pins.append(Requirement(requirement))
    return pins


@pytest.mark.parametrize("name", FILES)
def test_every_line_is_a_pin_with_hashes_and_no_address(root: Path, name: str) -> None:
    pins = _pins(root / "requirements" / name)
    assert pins
    for pin in pins:
        assert pin.url is None
        assert [specifier.operator for specifier in pin.specifier] == ["=="]


@pytest.mark.parametrize(("name", "extra"), [("base.txt", None), ("dev.txt", "dev")])
def test_the_pins_are_what_the_project_asks_for(root: Path, name: str, extra: str | None) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else ())]
    pins = _pins(root / "requirements" / name)
    for requirement in map(Requirement, wanted):
        versions = [
            next(iter(pin.specifier)).version
            for pin in pins
            if canonicalize_name(pin.name) == canonicalize_name(requirement.name)
        ]
        assert versions, f"{requirement.name} is not locked: make lock"
        for version in versions:
            assert requirement.specifier.contains(version), f"{requirement}, not {version}: make lock"


def test_the_three_files_agree(root: Path) -> None:
    pins = {
        name: {(p.name, str(p.specifier), str(p.marker)) for p in _pins(root / "requirements" / name)}
        for name in FILES
    }
    assert pins["base.txt"] <= pins["dev.txt"]
    for name, specifier, _ in pins["build.txt"]:
        others = {other for n, other, _ in pins["dev.txt"] if n == name}
        assert not others or specifier in others
