import zipfile
from pathlib import Path

import click
import pytest

from headrace.cli.demo import hold_out
from headrace.cli.figures import confusion_matrix


def test_each_tenth_image_is_held_out_the_same_way_every_time(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number in reversed(range(100)):
            archive.writestr(f"{number % 10}/{number:03}.png", str(number))
    made = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        made.append(hold_out(tmp_path / "all.zip", tmp_path / run))
    names = [set(zipfile.ZipFile(path).namelist()) for path in made[0]]
    assert [len(part) for part in names] == [90, 10]
    assert not names[0] & names[1]
    assert {name[0] for name in names[1]} == set("0123456789")
    assert [path.read_bytes() for path in made[0]] == [path.read_bytes() for path in made[1]]


def test_a_file_that_is_no_zip_is_told(tmp_path: Path) -> None:
    (tmp_path / "not.zip").write_text("no")
    with pytest.raises(click.ClickException, match="not a zip"):
        hold_out(tmp_path / "not.zip", tmp_path)


def test_a_confusion_matrix_is_drawn_row_by_row() -> None:
    from io import StringIO

    from rich.console import Console

    matrix = {"confusion_matrix": {"labels": ["cat", "dog"], "counts": [[5, 1], [0, 7]]}}
    console = Console(file=StringIO(), width=60)
    console.print(confusion_matrix(matrix))
    lines = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert [lines[0][-2:], *lines[1:]] == [["cat", "dog"], ["cat", "5", "1"], ["dog", "·", "7"]]
