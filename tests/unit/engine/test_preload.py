"""The fork server's side: it imports, forks, and its children train to the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import learning
from headrace.specs.algorithms import algorithm
from headrace.specs.task import Task

FORKING = """
import hashlib, json, os, sys, threading
from pathlib import Path
from headrace_workers.engine import preload

preload.light()
assert "tensorflow" not in sys.modules
preload.heavy()
assert threading.active_count() == 1
loaded = set(sys.modules)
for folder in map(Path, sys.argv[1:]):
    if not os.fork():
        from headrace_workers.engine import main

        messages = []
        main.run(folder, messages.append)
        late = set(sys.modules) - loaded
        result = {
            "last": messages[-1].model_dump(mode="json"),
            "package": hashlib.sha256((folder / "out/package.zip").read_bytes()).hexdigest(),
            "late": sorted(m for m in late if m.startswith(("keras", "tensorflow", "headrace"))),
        }
        (folder / "result.json").write_text(json.dumps(result))
        os._exit(0)
    assert os.wait()[1] == 0
"""


def test_forked_children_train_to_the_same_bits(tmp_path: Path) -> None:
    data = learning.digits(tmp_path / "data", 300)
    folders = []
    for i, seed in enumerate((0, 0, 1)):
        params = {"epochs": 1, "filters": [4], "dense": [8], "dropout": 0.2}
        spec = learning.train_spec(data, "cnn", "label", params=params, seed=seed)
        task = Task(
            job="job_1",
            kind="train",
            attempt=1,
            spec=spec,
            inputs={"data": str(data.path)},
            columns=data.columns,
            code=algorithm("cnn").code,
        )
        folders.append(tmp_path / str(i))
        folders[-1].mkdir()
        (folders[-1] / "task.json").write_text(task.model_dump_json())
    subprocess.run([sys.executable, "-c", FORKING, *map(str, folders)], check=True, timeout=120)
    one, same, other = (json.loads((folder / "result.json").read_text()) for folder in folders)
    assert one["late"] == []
    digests = [ran["last"]["result"]["weights_digest"] for ran in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]
    # Everything but where it comes from is in the package, so equal runs write equal bytes.
    assert one["package"] == same["package"]
