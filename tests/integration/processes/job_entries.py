"""What the job processes of these tests run. A fork server finds this file by PYTHONPATH."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


def preload():
    """Nothing to import."""


def preload_failing():
    raise RuntimeError("this preload fails")


def preload_with_a_thread_that_ends():
    threading.Thread(target=time.sleep, args=[0.5]).start()


def send(fd, **message):
    os.write(fd, json.dumps(message).encode() + b"\n")


def succeed(fd):
    print("a line of the log")
    send(fd, type="progress", fraction=0.5, message="half")
    Path("out.txt").write_text("result")
    send(fd, type="done", result={"rows": 1}, outputs={"out": "out.txt"})


def nothing(fd):
    pass


def fail(fd):
    raise ValueError("no such thing")


def segfault(fd):
    os.kill(os.getpid(), signal.SIGSEGV)


def exit_7(fd):
    os._exit(7)


def burn(fd):
    block = bytearray(64 << 20)
    while time.process_time() < 0.2:
        block[::4096] = bytes(len(block) // 4096)


def allocate(fd):
    bytearray(4 << 30)


def sleep(fd):
    send(fd, type="progress", fraction=0.1)
    time.sleep(300)


def stubborn_family(fd):
    """Leave a process in the group, one in a session of its own, and one with an empty environment."""
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{ignore}; print('up', flush=True); time.sleep(300)"
    kinds = [{}, {"start_new_session": True}, {"env": {}}]
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, **k) for k in kinds]
    for child in children:
        child.stdout.readline()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    send(fd, type="done", result={"pids": [os.getpid(), *(c.pid for c in children)]}, outputs={})
    if Path("stay").exists():
        time.sleep(300)


def keeps_pipes_open(fd):
    """End, and leave a process that holds both pipes and writes."""
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        while True:
            print("still here", flush=True)
            time.sleep(0.01)
    os.wait()


def orphan_in_session(fd):
    """Start a process whose parent ends, in the session of the job, and say whether it lives on."""
    readable, writable = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.write(writable, str(os.getpid()).encode())
            time.sleep(300)
        os._exit(0)
    os.wait()
    send(fd, type="done", result={"pid": int(os.read(readable, 20))}, outputs={})
    time.sleep(300)


def long_line(fd):
    from headrace.specs.task import MAX_LINE_BYTES

    pipe = os.fdopen(fd, "wb", buffering=0)
    message = {"type": "done", "result": {"x": "y" * MAX_LINE_BYTES}, "outputs": {}}
    pipe.write(json.dumps(message).encode() + b"\n")
    send(fd, type="progress", fraction=1.0)


def binary(fd):
    os.write(fd, bytes(range(256)) * 10 + b"\n" * 5)
    send(fd, type="progress", fraction=1.0)


def nul_text(fd):
    send(fd, type="failed", error="BadData", message="a\0b", retryable=False)


def flood(fd):
    block = (b"x" * 999 + b"\n") * 100
    for _ in range(500):
        os.write(1, block)
    send(fd, type="done", result={}, outputs={})


def odd_log(fd):
    os.write(2, b"\xff\xfe \0 \xed\xa0\x80\r\n1/9\r5/9\r9/9\n" + b"z" * 20_000 + b"\nno end")


def look_around(fd):
    environ = Path("/proc/self/environ").read_bytes().decode().split("\0")
    result = {
        "environ": dict(item.split("=", 1) for item in environ if item),
        "fds": sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")),
        "message_fd": fd,
        "stdin": os.readlink("/proc/self/fd/0"),
        "cwd": os.getcwd(),
        "group": [os.getpid(), os.getpgid(0), os.getsid(0)],
        "modules": sorted(sys.modules),
        "umask": os.umask(0),
        "tmp": os.environ["TMPDIR"],
        "sigterm": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    }
    send(fd, type="done", result=result, outputs={})


def fit_network(fd):
    import keras
    import numpy

    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    network.compile("adam", "mse")
    network.fit(numpy.ones((8, 4)), numpy.ones(8), verbose=0)
    send(fd, type="done", result={"weights": network.get_weights()[0].tolist()}, outputs={})
