"""A supervisor that the tests kill: it runs one `stubborn_family` below the given root, and says so."""

import json
import sys
import time
from pathlib import Path

from headrace_workers.job_process import ForkServer
from headrace_workers.scratch import Scratch

root, here = sys.argv[1:]
scratch = Scratch(Path(root))
server = ForkServer("job_entries:preload", scratch, environment={"PYTHONPATH": here})
server.start()
assert server.ready(10)
folder = scratch.new("job")
(folder / "stay").touch()
process = server.spawn(folder, entry="job_entries:stubborn_family")
events = []
while not events:
    events = process.read(1.0)
print(json.dumps({"server": server.pid, "pids": events[0].result["pids"]}), flush=True)
time.sleep(300)
