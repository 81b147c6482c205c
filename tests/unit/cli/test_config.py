import os
from pathlib import Path

import pytest

from headrace.config import MAX_SOCKET_PATH_BYTES, Settings, redact
from headrace.errors import Invalid


def test_the_defaults_need_nothing_but_the_data_folder(tmp_path: Path) -> None:
    settings = Settings.load({}, data=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/headrace.db"
    assert settings.artifacts_url == f"file://{tmp_path}/artifacts"
    assert settings.broker_is_embedded
    assert settings.slots >= 1
    assert (settings.lease_s, settings.renew_s) == (15, 3)


def test_an_option_comes_before_the_variable_and_none_is_no_option() -> None:
    env = {"HEADRACE_PORT": "9000", "HEADRACE_SLOTS": "3", "HEADRACE_LOG_LEVEL": "debug", "HEADRACE_HOST": ""}
    settings = Settings.load(env, port=9001, slots=None)
    assert (settings.port, settings.slots, settings.log_level) == (9001, 3, "DEBUG")
    sources = {d.name: d.source for d in settings.describe()}
    assert sources["port"] == "option"
    assert sources["slots"] == "HEADRACE_SLOTS"
    assert sources["host"] == "default"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADRACE_PORT", "70000"),
        ("HEADRACE_PORT", "http"),
        ("HEADRACE_SLOTS", "0"),
        ("HEADRACE_LEASE_S", "nan"),
        ("HEADRACE_QUEUES", "Default"),
        ("HEADRACE_DATABASE_URL", "headrace.db"),
        ("HEADRACE_LOG_LEVEL", "loud"),
        ("HEADRACE_DATA", "/tmp/what?"),
        ("HEADRACE_RENEW_S", "10"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        Settings.load({name: value})
    assert name in caught.value.detail


def test_the_variables_make_the_same_settings_again(tmp_path: Path) -> None:
    settings = Settings.load({"HEADRACE_QUEUES": "default, gpu"}, data=tmp_path, port=8123)
    assert settings.queues == ("default", "gpu")
    assert Settings.load(settings.environ()).model_dump() == settings.model_dump()


@pytest.mark.parametrize("depth", [1, 5, 20])
def test_the_socket_of_a_deep_data_folder_still_fits(depth: int) -> None:
    data = Path("/srv", *["a-rather-long-folder"] * depth)
    settings = Settings.load({}, data=data)
    assert len(os.fsencode(settings.broker_socket)) <= MAX_SOCKET_PATH_BYTES - 4
    assert settings.broker_socket != Settings.load({}, data=data / "other").broker_socket


def test_no_secret_is_shown() -> None:
    env = {
        "HEADRACE_DATABASE_URL": "postgresql://app:s3cr@et@db/headrace",
        "HEADRACE_BROKER_URL": "redis://:s3cr@et@broker",
        "HEADRACE_KEY": "hr_s3cr@et",
    }
    settings = Settings.load(env)
    assert "et@" not in repr(settings)
    assert "s3cr" not in repr(settings) + str(settings.describe())
    assert redact("postgresql://h/db?user=a&password=b&x=1") == "postgresql://h/db?user=a&password=***&x=1"
    assert redact("redis://:x@h and http://a:b@c") == "redis://:***@h and http://a:***@c"


def test_this_machine_reaches_a_server_that_binds_every_address() -> None:
    assert Settings.load({}, host="0.0.0.0").local_url == "http://127.0.0.1:8700"
    assert Settings.load({}, host="::", port=1).local_url == "http://[::1]:1"
