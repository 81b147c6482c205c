"""What ends up loaded in a fresh process: import-linter sees only the arrows between modules."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"tensorflow", "keras", "sklearn", "numpy", "pyarrow", "pandas", "scipy", "PIL", "skops"}
HEAVY |= {"s3fs", "botocore"}
EVERY_MODULE = """
import importlib, pkgutil, {package}
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def _loaded_by(code: str) -> set[str]:
    """Return the names of the top-level packages loaded by a fresh interpreter that runs ``code``."""
    report = "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return set(subprocess.check_output([sys.executable, "-c", code + report], text=True, timeout=60).split())


def test_the_import_contracts_hold(root: Path) -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import headrace.specs.algorithms as a; assert a.catalogue()", id="catalogue"),
        pytest.param("import headrace.client", id="client"),
        pytest.param(EVERY_MODULE.format(package="headrace_web"), id="web"),
    ],
)
def test_it_loads_nothing_heavy(code: str) -> None:
    assert not _loaded_by(code) & HEAVY


def test_the_engine_loads_no_database_and_no_broker() -> None:
    loaded = _loaded_by(EVERY_MODULE.format(package="headrace_workers.engine"))
    assert not loaded & {"sqlalchemy", "celery", "kombu", "redis", "flask", "psycopg"}


def test_a_job_process_starts_without_tensorflow() -> None:
    assert not _loaded_by("import headrace_workers.engine.main") & {"tensorflow", "keras"}
