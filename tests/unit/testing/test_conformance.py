"""The conformance suite: what conforms passes it, what is broken fails it for what is broken.

The gate checks what needs no TensorFlow; `make conformance` checks every algorithm.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace.errors import Invalid
from headrace.specs.algorithms import algorithm, catalogue
from headrace_workers import testing
from headrace_workers.testing import checks, memory, runs, trials, twin
from headrace_workers.testing.command import main

PLUGINS = Path(__file__).parents[2] / "plugins_conformance"
OURS = sorted(
    name
    for name, found in catalogue().items()
    if found.code.startswith("headrace_workers.") and found.runtime == "plain"
)
BROKEN = {
    "forgetful": "resumed at the end of epoch 3, it learned something else: weights",
    "sociable": "predicts row 1 otherwise alone than among 42",
    "unseeded": "learned something else in another process, with its rows in a file, from the same seed",
    "indifferent": "its description should say random=False",
    "stubborn": "does not learn: accuracy is",
    "lossy": "predicts something else after it was saved and loaded",
}


@pytest.fixture(scope="module")
def plugins() -> Iterator[None]:
    sys.path.insert(0, str(PLUGINS))
    catalogue.cache_clear()
    yield
    sys.path.remove(str(PLUGINS))
    catalogue.cache_clear()


@pytest.fixture(scope="module")
def suite(plugins: None, tmp_path_factory: pytest.TempPathFactory) -> testing.Suite:
    return testing.Suite(tmp_path_factory.mktemp("suite"), [*OURS, "steady", *BROKEN])


@pytest.mark.parametrize("name", [*OURS, "steady"])
def test_it_conforms(suite: testing.Suite, name: str) -> None:
    suite.check(name)


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_what_is_broken_fails_for_what_is_broken(suite: testing.Suite, name: str) -> None:
    with pytest.raises(testing.Nonconforming) as caught:
        suite.check(name)
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"{name}, classification by ") for line in lines)
    assert any(BROKEN[name] in line for line in lines), lines


@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="only Linux tells how far memory grew")
def test_a_fit_that_keeps_all_rows_does_not_stream(
    plugins: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "BLOCKS", 3)
    monkeypatch.setattr(memory, "FIT_S", 0.1)
    hoarder = algorithm("hoarder")
    trial = trials.trials(hoarder, thorough=False)[0]
    task = runs.train_task(tmp_path / "task", hoarder, trial)
    grown = memory.measure(tmp_path / "task", task)
    assert grown is not None
    (problem,) = checks.memory_problems(twin.Answer(growth=grown))
    assert problem.startswith("says that it streams, but memory grew by")


def test_a_description_that_says_too_little(plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = algorithm("steady")
    wrong = found.model_copy(update={"source": "", "trial": {"epochs": 0}, "code": "nowhere:Steady"})
    monkeypatch.setitem(catalogue(), "steady", wrong)
    with pytest.raises(testing.Nonconforming) as caught:
        testing.check("steady")
    text = str(caught.value)
    assert "its description has no source" in text
    assert "its trial params are refused: epochs" in text
    assert "its code 'nowhere:Steady' cannot be imported" in text


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(Invalid, match="there is no algorithm 'nothing'"):
        testing.check("nothing")


def test_on_the_command_line(plugins: None) -> None:
    ran = CliRunner().invoke(main, ["stubborn"])
    assert ran.exit_code == 1
    assert "stubborn, classification by every type of column: does not learn" in ran.output
    ran = CliRunner().invoke(main, ["nothing"])
    assert ran.exit_code == 2
    assert "there is no algorithm 'nothing'" in ran.output
