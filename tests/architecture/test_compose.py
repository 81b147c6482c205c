"""The compose file and the image, as far as can be told without an engine: their schemas, their secrets, and
that what they name is there. `tests/deployment` runs what the file says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployment.compose import MissingVariable, image_environment, interpolate, load
from headrace.cli.group import COMMANDS
from headrace.config import Settings, variable

GIVEN = {"POSTGRES_PASSWORD": "p", "REDIS_PASSWORD": "r", "HEADRACE_SERVE_SECRET": "s" * 32}
PARTS = ("web", "scheduler", "worker", "serve")


def test_the_file_is_what_the_compose_specification_says(root: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, root / "docker-compose.yml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_the_dockerfile_is_good_to_its_linter(root: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint has no wheel for this machine")
    checked = subprocess.run([linter, root / "Dockerfile"], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("name", GIVEN)
def test_no_secret_has_a_default(root: Path, name: str) -> None:
    for given in ({}, {name: ""}):
        with pytest.raises(MissingVariable, match=name):
            interpolate(load(), {**GIVEN, name: "", **given})
    assert re.search(rf"^{name}=$", (root / ".env.example").read_text(), re.MULTILINE)


def test_every_variable_is_explained(root: Path) -> None:
    used = set(re.findall(r"\$\{(\w+)", (root / "docker-compose.yml").read_text()))
    explained = set(re.findall(r"^#?([A-Z_]+)=", (root / ".env.example").read_text(), re.MULTILINE))
    assert used == explained
    assert not (root / ".env").exists() or ".env" in (root / ".gitignore").read_text().splitlines()


def test_every_service_is_watched_started_again_and_stopped_in_time() -> None:
    services = interpolate(load(), GIVEN)["services"]
    assert set(services) == {"postgres", "redis", "migrate", *PARTS}
    assert services["worker"]["deploy"]["replicas"] == 2
    for name, service in services.items():
        assert re.fullmatch(r"[a-z]+:[\w.-]*\d[\w.-]*", service["image"]), "a name and a version"
        assert service["restart"] == ("on-failure" if name == "migrate" else "unless-stopped")
        assert service["stop_grace_period"]
        assert service["stop_signal"]
        assert ("healthcheck" in service) == (name != "migrate")
        if "build" in service:
            assert service["command"][0] == "headrace"
            assert service["command"][1] in COMMANDS
            assert service["cap_drop"] == ["ALL"]
    for name in PARTS:
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_every_setting_of_the_file_is_one() -> None:
    known = {variable(name) for name in Settings.model_fields}
    services = interpolate(load(), GIVEN)["services"]
    environments = [service.get("environment", {}) for service in services.values()]
    named = {name for environment in [*environments, image_environment()] for name in environment}
    assert {name for name in named if name.startswith("HEADRACE_")} <= known
    for service in PARTS:
        settings = Settings.load(image_environment() | services[service]["environment"])
        assert not settings.broker_is_embedded
        assert settings.database_url.startswith("postgresql://")


def test_what_the_image_copies_is_there_and_reaches_the_build(root: Path) -> None:
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", (root / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copies for source in line.split()}
    allowed = set(re.findall(r"^!(.*)$", (root / ".dockerignore").read_text(), re.MULTILINE))
    assert sources == allowed
    assert all((root / source).exists() for source in sources)
    assert (root / ".dockerignore").read_text().splitlines()[1] == "*"
