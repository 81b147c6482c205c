"""All settings of Headrace: the only reader of the environment.

A setting ``slots`` is the variable ``HEADRACE_SLOTS``; an override (a command line option) comes first, then
the variable, then the default. Defaults make one machine work with nothing installed: SQLite, an embedded
broker on a Unix socket, and a folder for artifacts, all below the data folder. Settings are built once, by
an entry point, and passed down; child processes get the same ones through `Settings.environ`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from headrace.errors import FieldError, Invalid
from headrace.specs.base import Name

PREFIX = "HEADRACE_"
MAX_SOCKET_PATH_BYTES = 107
"""What the kernel's ``sockaddr_un`` holds on Linux; macOS holds 103, so we stay below that."""
_ROOM_FOR_SOCKET_NAME = len("/model-01234567.sock") + 4
_SECRETS = ("key", "serve_secret")
_PASSWORD = re.compile(r"(://[^/:\s]*:)[^/\s]*(?=@)|([?&](?:password|secret|token)=)[^&\s]*", re.IGNORECASE)


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaSeparated = BeforeValidator(_split)
Url = Annotated[str, StringConstraints(pattern=r"^[a-z0-9+.-]+:.*$", strip_whitespace=True)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Described(NamedTuple):
    """One setting for people: ``value`` has no secret in it, ``source`` says where it came from."""

    name: str
    variable: str
    value: str
    source: str
    description: str


class Settings(BaseModel):
    """Every setting, checked. Built by `load`; frozen. Its ``repr`` shows no secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Annotated[Path, Field(description="Folder of everything that is kept on this machine")]
    runtime: Annotated[Path, Field(description="Folder of sockets; its path must be short")]
    database_url: Annotated[Url, Field(description="SQL database: sqlite:///… or postgresql://…")]
    broker_url: Annotated[Url, Field(description="Celery broker; by default the one that `up` embeds")]
    artifacts_url: Annotated[Url, Field(description="Artifact store: file:///folder or s3://bucket/prefix")]
    host: Annotated[str, Field(min_length=1, description="Address that the web server binds")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535, description="Port that the web server binds")] = 8700
    allowed_hosts: Annotated[
        tuple[str, ...],
        CommaSeparated,
        Field(min_length=1, description="Host headers that the web server answers; * for any"),
    ]
    web_processes: Annotated[int, Field(ge=1, le=64, description="Processes of the web server")] = 1
    web_threads: Annotated[int, Field(ge=1, le=512, description="Threads of each web process")] = 8
    web_viewers: Annotated[
        int, Field(ge=0, le=500, description="Live streams of each web process; each has a thread more")
    ] = 128
    max_body_bytes: Annotated[int, Field(ge=1024, le=2**30, description="Largest JSON body accepted")] = 2**20
    max_upload_bytes: Annotated[
        int, Field(ge=1024, le=2**50, description="Largest file accepted as a dataset version")
    ] = 10 * 2**30
    queues: Annotated[
        tuple[Name, ...], CommaSeparated, Field(min_length=1, description="Queues that the worker serves")
    ] = ("default",)
    slots: Annotated[int, Field(ge=1, le=1024, description="Jobs that the worker runs at once")]
    lease_s: Annotated[Seconds, Field(description="A worker silent for so long has lost its jobs")] = 15.0
    renew_s: Annotated[Seconds, Field(description="How often a worker renews a lease; under lease_s / 2")] = (
        3.0
    )
    tick_s: Annotated[Seconds, Field(description="How often the scheduler looks for what is due")] = 1.0
    poll_s: Annotated[Seconds, Field(description="How often an idle slot looks for jobs by itself")] = 1.0
    backoff_base_s: Annotated[Seconds, Field(description="Wait before the first retry; doubles")] = 1.0
    backoff_max_s: Annotated[Seconds, Field(description="Longest wait before a retry")] = 60.0
    checkpoint_s: Annotated[Seconds, Field(description="Shortest time between two checkpoints of a job")] = (
        30.0
    )
    watts_per_core: Annotated[
        float,
        Field(
            ge=0,
            le=1000,
            allow_inf_nan=False,
            description="What a busy core takes; by it energy is estimated where the machine does not tell",
        ),
    ] = 10.0
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
        Field(description="Least severe level that is logged"),
    ] = "INFO"
    log_format: Annotated[
        Literal["text", "json"], Field(description="Lines for people, or one JSON object a line")
    ] = "text"
    keep_events_days: Annotated[
        int,
        Field(
            ge=0,
            le=36_500,
            description="Days that progress and logs of ended jobs are kept; curves stay; 0 keeps all",
        ),
    ] = 90
    collect_after_s: Annotated[
        Seconds, Field(description="Bytes that nothing has needed for so long are removed from the store")
    ] = 3600.0
    collect_every_s: Annotated[
        Seconds, Field(description="How often the scheduler walks the store for bytes that nothing needs")
    ] = 300.0
    serve_url: Annotated[
        str | None,
        Field(
            pattern=r"^tcp://[^/]+:[0-9]+$",
            description="Where `serve` listens: tcp://host:port; by default a socket in the runtime folder",
        ),
    ] = None
    serve_secret: Annotated[
        str | None,
        Field(min_length=16, repr=False, description="What the web server and `serve` on a port both know"),
    ] = None
    serve_models: Annotated[int, Field(ge=1, le=1000, description="Versions that `serve` keeps loaded")] = 4
    rate_per_s: Annotated[
        float,
        Field(
            ge=0,
            le=1e6,
            allow_inf_nan=False,
            description="Requests a second of one key to one web process, 10 s' worth at once; 0 is no limit",
        ),
    ] = 500
    url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://",
            description="Server that clients call; by default the one of the data folder",
        ),
    ] = None
    key: Annotated[
        str | None, Field(repr=False, description="API key of clients; by default that in DATA/admin.key")
    ] = None

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, env: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
        """Return the settings of ``env``, where each of ``overrides`` that is not None comes first.

        Raises `Invalid` naming the variable (or the override) and what would be right.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        sources = dict.fromkeys(given, "option")
        for name in cls.model_fields:
            text = env.get(variable(name), "")
            if name not in given and text.strip():
                given[name] = text
                sources[name] = variable(name)
        try:
            settings = cls(**(_defaults(given, env) | given))
        except ValidationError as error:
            raise Invalid(
                [_explain(e["loc"], e["msg"], e["input"], sources) for e in error.errors(include_url=False)]
            ) from None
        settings._sources = sources
        return settings

    @field_validator("data", "runtime")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        # These have a meaning in the URLs made of the path, and not all of their readers unquote alike.
        if re.search(r"[?#%\x00-\x1f]", str(value)):
            raise ValueError("the path of a folder may hold no ?, #, % or control character")
        return value.expanduser().absolute()

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.renew_s > self.lease_s / 2:
            raise ValueError(
                f"HEADRACE_RENEW_S ({self.renew_s:g}) should be at most half of "
                f"HEADRACE_LEASE_S ({self.lease_s:g})"
            )
        if self.backoff_max_s < self.backoff_base_s:
            raise ValueError("HEADRACE_BACKOFF_MAX_S should be at least HEADRACE_BACKOFF_BASE_S")
        return self

    @property
    def broker_socket(self) -> Path:
        """Where the embedded broker listens."""
        return self.runtime / "broker.sock"

    @property
    def serve_socket(self) -> Path:
        """Where the serving process listens unless it has a URL."""
        return self.runtime / "serve.sock"

    @property
    def broker_is_embedded(self) -> bool:
        """Whether the broker is the one that `headrace up` starts itself."""
        return self.broker_url == _embedded_broker_url(self.runtime)

    @property
    def admin_key_file(self) -> Path:
        """The file that `headrace up` writes an admin key to: one line."""
        return self.data / "admin.key"

    @property
    def url_file(self) -> Path:
        """The file in which a running `headrace up` says where it can be reached: one line."""
        return self.data / "url"

    @property
    def local_url(self) -> str:
        """The address at which this machine reaches the web server that these settings start."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def environ(self) -> dict[str, str]:
        """Return the variables from which `load` makes these very settings again; None is left out."""
        values = {variable(name): getattr(self, name) for name in type(self).model_fields}
        return {
            name: ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in values.items()
            if value is not None
        }

    def environ_of_child(self, env: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the environment of a part: ``env`` with these settings, without the key of a client."""
        child = {**env, **self.environ()}
        child.pop(variable("key"), None)
        return child

    def describe(self) -> list[Described]:
        """Return every setting for people, without secrets."""
        shown = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name in _SECRETS and value is not None:
                text = "***"
            elif isinstance(value, tuple):
                text = ",".join(value)
            elif isinstance(value, float):
                text = f"{value:g}"
            else:
                text = "" if value is None else redact(str(value))
            source = self._sources.get(name, "default")
            shown.append(Described(name, variable(name), text, source, field.description or ""))
        return shown

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(d.name, d.value) for d in self.describe()]


def variable(name: str) -> str:
    """Return the environment variable of the setting ``name``."""
    return PREFIX + name.upper()


def redact(text: str) -> str:
    """Return ``text`` with the password of every URL in it replaced by ``***``."""
    return _PASSWORD.sub(r"\1\2***", text)


def _defaults(given: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """The defaults that depend on other settings or on the machine."""
    data = Path(given.get("data", "headrace-data")).expanduser().absolute()
    runtime = Path(given["runtime"]).expanduser().absolute() if "runtime" in given else _runtime(data, env)
    return {
        "data": data,
        "runtime": runtime,
        "database_url": f"sqlite:///{data / 'headrace.db'}",
        "broker_url": _embedded_broker_url(runtime),
        "artifacts_url": f"file://{data / 'artifacts'}",
        "allowed_hosts": tuple(
            dict.fromkeys(["localhost", "127.0.0.1", "::1", str(given.get("host", "localhost"))])
        ),
        "slots": max(1, (os.cpu_count() or 1) // 2),
    }


def _embedded_broker_url(runtime: Path) -> str:
    return f"redis+socket://{runtime / 'broker.sock'}"


def _runtime(data: Path, env: Mapping[str, str]) -> Path:
    """The data folder's own ``run``; where that is too long for a socket, a short folder named after it."""
    own = data / "run"
    if len(os.fsencode(own)) + _ROOM_FOR_SOCKET_NAME <= MAX_SOCKET_PATH_BYTES - 4:
        return own
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    base = env.get("XDG_RUNTIME_DIR", "")
    if base.startswith("/") and len(os.fsencode(base)) < 50 and os.access(base, os.W_OK):
        return Path(base) / f"headrace-{digest}"
    return Path("/tmp") / f"headrace-{os.getuid()}-{digest}"


def _explain(loc: tuple[str | int, ...], msg: str, value: Any, sources: Mapping[str, str]) -> FieldError:
    """Name the variable that is wrong, say what is wrong with it, and show its value unless it is secret."""
    msg = msg.removeprefix("Value error, ")
    if not loc:
        return FieldError(loc=("settings",), msg=msg)
    name = str(loc[0])
    where = variable(name) if sources.get(name) != "option" else name
    shown = "" if name in _SECRETS else f" (it is {redact(repr(value))[:200]})"
    return FieldError(loc=(where,), msg=f"{msg[:1].lower()}{msg[1:]}{shown}")
