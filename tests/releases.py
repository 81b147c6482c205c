"""The next releases of Headrace, as far as their schema goes: this one's revisions and more after them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from alembic.config import Config
from alembic.script import ScriptDirectory

from headrace import db

EXPAND, CONTRACT = "0901", "0902_needs_0901"
_HEAD = "import sqlalchemy as sa\nfrom alembic import op\n\nrevision = {!r}\ndown_revision = {!r}\n\n"
_EXPAND = """
def upgrade():
    op.add_column("jobs", sa.Column("colour", sa.String(), nullable=True))
    op.add_column("artifacts", sa.Column("zone", sa.String(), nullable=False, server_default="here"))
    op.create_index("ix_jobs_colour", "jobs", ["colour"])
    op.create_table("colours", sa.Column("name", sa.String(), primary_key=True))
"""
_CONTRACT = """
def upgrade():
    op.drop_table("colours")
"""


@contextmanager
def next_release(folder: Path, *, contract: bool = False) -> Iterator[None]:
    """Let this process be of the release after this one, or of the one after that, which contracts."""
    this = ScriptDirectory.from_config(db.alembic_config("")).get_current_head()
    more = [(EXPAND, this, _EXPAND), (CONTRACT, EXPAND, _CONTRACT)][: 2 if contract else 1]
    scripts = folder / f"migrations-{len(more)}"
    shutil.copytree(Path(__file__).parents[1] / "migrations/headrace_migrations", scripts, dirs_exist_ok=True)
    env = (scripts / "env.py").read_text()
    assert '_LOCK_TIMEOUT = "3s"' in env
    (scripts / "env.py").write_text(env.replace('_LOCK_TIMEOUT = "3s"', '_LOCK_TIMEOUT = "100ms"'))
    for revision, before, code in more:
        (scripts / "versions" / f"{revision}.py").write_text(_HEAD.format(revision, before) + code)

    def alembic_config(url: str) -> Config:
        config = Config()
        config.set_main_option("script_location", str(scripts))
        config.attributes["url"] = url
        return config

    with (
        mock.patch.object(db, "alembic_config", alembic_config),
        mock.patch.object(db, "code_revision", return_value=int(more[-1][0][:4])),
    ):
        yield
