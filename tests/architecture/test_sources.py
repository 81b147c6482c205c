"""House rules that no linter knows."""

import ast
import re
from pathlib import Path

# The fork server may, to scrub it: job processes get a clean one.
READS_THE_ENVIRONMENT = {
    "platform/headrace/config.py",
    "workers/headrace_workers/fork_server.py",
}
WRITES_STATES = {"platform/headrace/jobs/transitions.py"}
MAX_LINES = 400


def test_platform_is_no_package(root: Path) -> None:
    """It would shadow the standard library's `platform`."""
    for folder in ("platform", "workers", "web", "migrations"):
        assert not (root / folder / "__init__.py").exists()


def test_each_folder_holds_one_package(root: Path) -> None:
    packages = {
        folder: [path.parent.name for path in (root / folder).glob("*/__init__.py")]
        for folder in ("platform", "workers", "web", "migrations")
    }
    assert packages == {
        "platform": ["headrace"],
        "workers": ["headrace_workers"],
        "web": ["headrace_web"],
        "migrations": ["headrace_migrations"],
    }


def test_modules_are_short_enough_to_be_read(sources: list) -> None:
    # A migration is a list of what it does, and never changes again.
    modules = [source for source in sources if "/versions/" not in source.path]
    assert {source.path: source.lines for source in modules if source.lines > MAX_LINES} == {}


def test_every_package_says_what_it_is_for(sources: list) -> None:
    silent = [
        source.path
        for source in sources
        if source.path.endswith("__init__.py") and len(ast.get_docstring(source.tree) or "") < 20
    ]
    assert silent == []


def test_only_the_settings_read_the_environment(sources: list) -> None:
    readers = {source.path for source in sources if any(map(_reads_environment, ast.walk(source.tree)))}
    assert readers == READS_THE_ENVIRONMENT


def test_only_transitions_write_the_state_of_a_job(sources: list) -> None:
    writers = {
        source.path
        for source in sources
        if any(map(_writes_state, ast.walk(source.tree))) or _makes_a_row_in_a_state(source.tree)
    }
    assert writers == WRITES_STATES


def test_nothing_is_called_common_or_util(sources: list) -> None:
    parts = {part.removesuffix(".py") for source in sources for part in Path(source.path).parts}
    assert not parts & {"common", "util", "utils", "helpers", "misc"}


def _reads_environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv", "getenvb"}
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr=attr):
            return attr in names
        case ast.ImportFrom(module="os", names=imported):
            return any(alias.name in names for alias in imported)
    return False


def _writes_state(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=value, attr="state", ctx=ast.Store()):
            return not (isinstance(value, ast.Name) and value.id == "self")
        case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value="state"), *_]):
            return True
        case ast.Call(func=ast.Attribute(attr="values"), args=args, keywords=keywords):
            return any(keyword.arg == "state" for keyword in keywords) or any(map(_has_state_key, args))
        case ast.Constant(value=str(text)):
            return re.search(r"\bupdate\s+jobs\b", text, re.IGNORECASE) is not None
    return False


def _has_state_key(node: ast.expr) -> bool:
    return isinstance(node, ast.Dict) and any(
        (isinstance(key, ast.Constant) and key.value == "state")
        or (isinstance(key, ast.Attribute) and key.attr == "state")
        for key in node.keys
    )


def _makes_a_row_in_a_state(tree: ast.Module) -> bool:
    rows = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "headrace.jobs.tables"
        for alias in node.names
    }
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in rows
        and any(keyword.arg == "state" for keyword in node.keywords)
        for node in ast.walk(tree)
    )
