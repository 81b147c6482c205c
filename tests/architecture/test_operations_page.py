"""Every command that the page on operations tells people to type is one, with the options that it shows."""

import re
import shlex
from pathlib import Path

import click
import pytest

from headrace.cli.group import cli
from headrace.config import Settings, variable

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
COMMANDS = sorted(set(re.findall(r"(?:^|`|web )(headrace [a-z][^`#\n]*)", PAGE, re.MULTILINE)))


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_is_one(line: str) -> None:
    _, *words = shlex.split(line)
    command: click.Command = cli
    context = click.Context(cli)
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            break
        command = found
        words.pop(0)
    assert command is not cli, line
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= options, line


def test_every_setting_is_one() -> None:
    named = set(re.findall(r"HEADRACE_[A-Z_]+[A-Z]", PAGE))
    assert named <= {variable(name) for name in Settings.model_fields}


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 20
