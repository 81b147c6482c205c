"""Which server to call, and with which key, where nobody says."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from headrace.client.transport import is_loopback
from headrace.config import Settings
from headrace.errors import HeadraceError


class Server(NamedTuple):
    """A server's address, and the key to show it, if any."""

    url: str
    key: str | None


def server(settings: Settings, url: str | None = None, key: str | None = None) -> Server:
    """Return ``url`` and ``key``, each completed from the settings and the data folder.

    `headrace up` writes into its data folder where it can be reached, and an admin key. That key is shown to
    it and to servers of this machine only: an address given by hand must not be able to collect it.
    """
    given = url or settings.url
    url = given or _line(settings.url_file) or settings.local_url
    key = key or settings.key
    if key is None and (given is None or is_loopback(url)):
        key = _line(settings.admin_key_file)
    return Server(url, key)


def _line(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HeadraceError(f"cannot read {path}: {error.strerror}") from None
