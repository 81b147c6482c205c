"""The group of all commands, loaded one by one; and the one place where errors become messages."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from typing import NamedTuple, NoReturn

import click

from headrace.errors import HeadraceError

PLUGINS = "headrace.commands"


class Entry(NamedTuple):
    """Where a command is (``module:name``) and its line in the help. Plugins have no place of their own."""

    place: str | None
    help: str


_CLI = "headrace.cli."
COMMANDS = {
    "up": Entry(_CLI + "up:up", "Run everything on this machine until Ctrl-C."),
    "demo": Entry(_CLI + "demo:demo", "See it work: train, version and use a model of real digits."),
    "web": Entry(None, "Run the web server: API and dashboard."),
    "worker": Entry(None, "Run a worker, which runs jobs."),
    "serve": Entry(None, "Keep models loaded and predict with them."),
    "scheduler": Entry(_CLI + "admin:scheduler", "Run the scheduler."),
    "submit": Entry(_CLI + "jobs:submit", "Submit a job."),
    "jobs": Entry(_CLI + "jobs:jobs", "List jobs."),
    "job": Entry(_CLI + "jobs:job", "Show one job, wait for it, or follow it."),
    "cancel": Entry(_CLI + "jobs:cancel", "Cancel a job."),
    "retry": Entry(_CLI + "jobs:retry", "Submit a failed or cancelled job again."),
    "datasets": Entry(_CLI + "datasets:datasets", "List datasets, or upload one."),
    "models": Entry(_CLI + "models:models", "List models, or upload one to start from."),
    "model": Entry(_CLI + "models:model", "Show a model or one of its versions."),
    "evaluation": Entry(_CLI + "evaluations:evaluation", "Show how good a version is, and how sure that is."),
    "explain": Entry(_CLI + "explain:explain", "Say what the predictions of a version rest on."),
    "explanation": Entry(_CLI + "explain:explanation", "Show what was found of that."),
    "predict": Entry(_CLI + "predict:predict", "Predict a few instances at once."),
    "reproduce": Entry(_CLI + "reproduce:reproduce", "Train a version again and say whether it is the same."),
    "schedules": Entry(_CLI + "schedules:schedules", "List schedules."),
    "schedule": Entry(_CLI + "schedules:schedule", "Make, pause, trigger, delete a schedule; see its runs."),
    "algorithms": Entry(_CLI + "models:algorithms", "List algorithms and their params."),
    "projects": Entry(_CLI + "team:projects", "List projects and what they may use, or change it."),
    "keys": Entry(_CLI + "admin:keys", "Make, list and revoke API keys."),
    "workers": Entry(_CLI + "team:workers", "List workers."),
    "queues": Entry(_CLI + "team:queues", "List queues and what waits in them."),
    "costs": Entry(_CLI + "costs:costs", "Add up what jobs have used."),
    "audit": Entry(_CLI + "team:audit", "List who did what, or verify that record."),
    "health": Entry(_CLI + "health:health", "Say whether a part of this machine is alive."),
    "doctor": Entry(_CLI + "doctor:doctor", "Say what is wrong with this installation."),
    "fsck": Entry(_CLI + "fsck:fsck", "Read every row and every stored byte again; say what is wrong."),
    "gc": Entry(_CLI + "fsck:gc", "Remove stored bytes that nothing needs."),
    "db": Entry(_CLI + "db:db", "Look at the schema of the database, bring it up to date."),
    "backup": Entry(_CLI + "backup:backup", "Copy database and artifacts, while everything runs."),
    "restore": Entry(_CLI + "backup:restore", "Bring a backup into an empty database."),
    "config": Entry(_CLI + "admin:config", "Show every setting and where it comes from."),
    "version": Entry(_CLI + "admin:version", "Show the version."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return [*COMMANDS, *sorted(set(_plugins()) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command, or None for an unknown name. Raises HeadraceError for one not installed."""
        entry = COMMANDS.get(cmd_name)
        if entry and entry.place:
            module, _, name = entry.place.partition(":")
            found = getattr(importlib.import_module(module), name)
        else:
            plugin = _plugins().get(cmd_name)
            if plugin is None:
                if entry:
                    raise HeadraceError(
                        f"the command {cmd_name!r} is not installed: no package announces it under {PLUGINS}"
                    )
                return None
            try:
                found = plugin.load()
            except (ImportError, AttributeError) as error:
                raise HeadraceError(f"the command {cmd_name!r} cannot be loaded: {error}") from error
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        rows = [(n, COMMANDS[n].help if n in COMMANDS else "") for n in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(package_name="headrace", message="%(version)s")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Train, version, reproduce and serve models over one HTTP API; nothing is lost."""
    ctx.obj = debug


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    arguments = sys.argv[1:] if args is None else args
    try:
        status = cli.main(args=arguments, prog_name="headrace", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped", 130)
    except BrokenPipeError:
        # Whoever read the output has enough; Python must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if "--debug" in arguments[:1]:
            raise
        expected = isinstance(error, (HeadraceError, OSError))
        hint = "" if expected else f" ({type(error).__name__}; `headrace --debug …` shows where)"
        _fail(f"{error}{hint}", 1)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(status)


def _plugins() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=PLUGINS)}
