"""``headrace demo``: the whole way of a model, from a file of digits to predictions, on real data."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import deployment
from headrace.cli.guard import die_with_parent
from headrace.cli.options import data_option
from headrace.config import Settings

if TYPE_CHECKING:
    from headrace.client import Client
    from headrace.client.types import Job

START_S = 120.0
STOP_S = 15.0
HELD_OUT = 10
"""Each tenth image is kept from the model altogether, to be predicted at the end."""


@click.command()
@data_option
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Zip of images in one folder per label.  [default: examples/digits.zip]",
)
@click.option("--epochs", type=click.IntRange(min=1), default=5, show_default=True)
def demo(data: Path | None, file: Path | None, epochs: int) -> None:
    """See it work: upload real digits, train a network on them, and predict digits that it never saw.

    Starts what it needs on the data folder (unless it runs there already) and stops it at the end; what it
    made stays there. Run it again for another version.
    """
    from rich.console import Console

    from headrace.client import Client

    file = file or _shipped_digits()
    settings = Settings.load(data=data)
    console = Console(highlight=False, soft_wrap=True)
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="headrace-demo-") as scratch,
        _deployment(settings, console) as url,
        Client(url, settings.admin_key_file.read_text().strip(), settings=settings) as client,
    ):
        _run(client, console, file, Path(scratch), epochs)
    default = settings.data == Path("headrace-data").absolute()
    run = "make run" if default else f"make run ARGS='--data {settings.data}'"
    option = "" if default else f" --data {settings.data}"
    console.print(
        f"\nDone in {time.monotonic() - begun:.0f} s. Everything is kept in {settings.data}.\n"
        f"Go on with:  {run}\n"
        f"and in another terminal:  headrace jobs{option}  ·  headrace model digits{option}",
        markup=False,
    )


def _run(client: Client, console: Any, file: Path, scratch: Path, epochs: int) -> None:
    """The five steps."""
    from headrace.cli import figures, output
    from headrace.cli.datasets import transfer_bar

    def step(number: int, text: str) -> None:
        console.print(f"\n[bold]{number}. {text}[/bold]")

    step(1, "Upload: each tenth image is held out, so that the model never sees it")
    refs = {}
    for name, path in zip(("digits", "digits-holdout"), hold_out(file, scratch), strict=True):
        with transfer_bar(f"upload {path.name}") as progress:
            version = client.upload_dataset(name, path, progress=progress)
        version = client.wait_dataset(name, version["version"])
        refs[name] = f"{name}@{version['version']}"
        console.print(f"   {refs[name]}: {version['rows']} images, {version['digest'][:23]}…", markup=False)

    step(2, f"Train a convolutional network for {epochs} epochs, as a queued job")
    spec = {
        "model": "digits",
        "dataset": refs["digits"],
        "algorithm": "cnn",
        "params": {"epochs": epochs, "batch_size": 32, "dense": [], "dropout": 0.0, "schedule": None},
        "target": "label",
    }
    trained = _succeed(client, client.submit("train", spec, name="digits, convolutional network"))
    number = int((trained["result"] or {})["version"])
    ref = f"digits@{number}"

    step(3, "Evaluate it on the test rows, which training never used")
    evaluation = client.evaluation("digits", number)
    console.print(figures.confusion_matrix(evaluation))
    version_made = client.model_version("digits", number)
    console.print(f"   test accuracy {version_made['metrics']['accuracy']:.4f}", markup=False)

    step(4, f"Registered as {ref}, with all that is needed to make it again")
    lineage = version_made["lineage"]
    output.print_fields(
        {
            "   dataset": f"{lineage['dataset']}@{lineage['dataset_version']} {lineage['dataset_digest']}",
            "   seed, split": f"{lineage['seed']}, {json.dumps(lineage['split'])}",
            "   weights": version_made["weights_digest"],
            "   package": f"{version_made['digest']} ({output.size(version_made['size_bytes'])})",
        }
    )

    step(5, f"Predict the images held out with {ref}, by a second queued job")
    spec = {"model": ref, "dataset": refs["digits-holdout"], "format": "ndjson", "keep": ["label"]}
    predicted = _succeed(client, client.submit("predict", spec, name="digits, the images held out"))
    target = scratch / "predictions.ndjson"
    digest = client.output(predicted["id"], target)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    right = sum(row["label"] == row["prediction"] for row in rows)
    console.print(
        f"   {right} of {len(rows)} right ({right / len(rows):.2%}); output {digest[:23]}…", markup=False
    )
    wrong = Counter(f"{r['label']} read as {r['prediction']}" for r in rows if r["label"] != r["prediction"])
    if wrong:
        most = ", ".join(f"{text} ({count})" for text, count in wrong.most_common(5))
        console.print(f"   most frequent errors: {most}", markup=False)


def hold_out(file: Path, folder: Path) -> tuple[Path, Path]:
    """Write each tenth member of a zip, in the order of names, to one zip and the others to another.

    The same file gives the same bytes, and so the same dataset versions. Returns (the others, each tenth).
    """
    import zipfile

    paths = folder / "digits.zip", folder / "digits-holdout.zip"
    try:
        source = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise click.ClickException(f"{file} is not a zip file") from None
    with source, zipfile.ZipFile(paths[0], "w") as others, zipfile.ZipFile(paths[1], "w") as tenth:
        members = sorted((m for m in source.infolist() if not m.is_dir()), key=lambda m: m.filename)
        for position, member in enumerate(members):
            archive = tenth if position % HELD_OUT == HELD_OUT - 1 else others
            archive.writestr(zipfile.ZipInfo(member.filename, member.date_time), source.read(member))
    return paths


def _succeed(client: Client, job: Job) -> Job:
    """Follow a job to its end. Raises ClickException with its reason where it did not succeed."""
    from headrace.cli.follow import follow

    ended = follow(client, job["id"], details=True, as_json=False, timeout_s=None)
    if ended["state"] != "succeeded":
        reason = ended["error"]["message"] if ended["error"] else "no reason given"
        raise click.ClickException(f"{job['id']} {ended['state']}: {reason}")
    return ended


@contextmanager
def _deployment(settings: Settings, console: Any) -> Iterator[str]:
    """Yield the address of what runs on the data folder, which is started for the time being if need be."""
    running = deployment.running_at(settings)
    if running:
        console.print(f"Using what runs on {settings.data}: {running}", markup=False)
        yield running
        return
    deployment.make_data_folder(settings)
    console.print(f"Starting Headrace on {settings.data} …", markup=False)
    command = [
        sys.executable,
        "-m",
        "headrace",
        "up",
        "--data",
        str(settings.data),
        "--port",
        str(_free_port()),
    ]
    with tempfile.TemporaryFile("w+") as said:
        # In a session of its own, so that Ctrl-C reaches this process alone, which then stops it in order.
        process = subprocess.Popen(
            command, stdout=said, stderr=said, start_new_session=True, preexec_fn=die_with_parent()
        )
        try:
            end = time.monotonic() + START_S
            while not (url := deployment.running_at(settings)):
                if process.poll() is not None or time.monotonic() > end:
                    said.seek(0)
                    raise click.ClickException(f"it did not start:\n{said.read()}")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _shipped_digits() -> Path:
    """The digits of the repository: beside the package of a checkout, or in the folder at hand."""
    for root in (Path(__file__).resolve().parents[3], Path.cwd()):
        file = root / "examples" / "digits.zip"
        if file.is_file():
            return file
    raise click.ClickException(
        "examples/digits.zip is not here: run it in a checkout of Headrace, or use --file"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
