"""Commands against a server on this machine that says what the test writes down."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from headrace.cli.group import COMMANDS, cli, main
from headrace.errors import HeadraceError

Answers = dict[tuple[str, str], Any]
Run = Callable[..., Result]

JOB = {
    "id": "job_1",
    "kind": "train",
    "name": "n",
    "state": "succeeded",
    "attempt": 1,
    "failures": 0,
    "max_attempts": 3,
    "progress": {"fraction": 1.0, "message": "done"},
    "created_at": "2026-01-01T00:00:00.000Z",
    "finished_at": None,
    "spec": {},
    "tags": {},
    "result": {"version": 1},
    "error": None,
}


class Fake(ThreadingHTTPServer):
    """Answers by method and path; remembers bodies. A callable answer gets the query."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.bodies: list[Any] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Fake

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if length:
            self.server.bodies.append(json.loads(self.rfile.read(length)))
        path = self.path.partition("?")[0]
        status, body = self.server.answers.get(
            (self.command, path), (404, {"title": "Not found", "detail": f"no {path}"})
        )
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PATCH = do_POST = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def run(fake: Fake, tmp_path: Path) -> Run:
    def invoke(*args: str, input: str | None = None) -> Result:
        server = ["--url", f"http://127.0.0.1:{fake.server_port}", "--data", str(tmp_path), "--key", "hr_k"]
        return CliRunner().invoke(cli, [*args, *server], input=input, standalone_mode=False)

    return invoke


def page(*items: Any) -> tuple[int, Any]:
    return 200, {"items": list(items), "next_cursor": None}


def event(seq: int, type: str, **data: Any) -> dict[str, Any]:
    return {"seq": seq, "attempt": 1, "type": type, "at": "2026-01-01T10:00:00.000Z", "data": data}


EVENTS = (
    event(1, "state", state="running"),
    event(2, "progress", fraction=0.5, message="fitting"),
    event(3, "metric", name="loss", step=1, value=0.25),
    event(4, "metric", name="val_accuracy", step=1, value=0.9),
    event(5, "metric", name="loss", step=2, value=0.125),
    event(6, "log", text="a line\x1b[2Jof log\n"),
    event(7, "state", state="succeeded"),
)


PROJECT = {
    "name": "vision",
    "created_at": "2026-01-01T00:00:00.000Z",
    "weight": 1.0,
    "max_priority": 9,
    "max_running": 4,
    "max_queued": None,
    "max_stored_bytes": 2_000_000_000,
    "usage": {"running": 1, "queued": 7, "stored_bytes": 1_500_000_000},
}


def test_projects_are_listed_and_changed(run: Run, fake: Fake) -> None:
    fake.answers["GET", "/api/v1/projects"] = page(PROJECT)
    fake.answers["PATCH", "/api/v1/projects/vision"] = (200, PROJECT)
    line = run("projects").stdout.splitlines()[1]
    assert line.split() == ["vision", "1", "of", "4", "7", "1.5", "GB", "of", "2", "GB", "1", "9"]
    changed = run("projects", "set", "vision", "--max-queued", "none", "--max-running", "0", "--json")
    assert json.loads(changed.stdout) == PROJECT
    assert fake.bodies == [{"max_queued": None, "max_running": 0}]
    assert isinstance(run("projects", "set", "vision").exception, click.UsageError)
    assert isinstance(run("projects", "set", "vision", "--max-queued", "-1").exception, click.UsageError)


def test_keys_workers_queues_and_acts_are_listed(run: Run, fake: Fake) -> None:
    times = {"created_at": "2026-01-01T00:00:00.000Z", "expires_at": None, "revoked_at": None}
    key = {"id": "key_1", "prefix": "hr_0a1b2c3d", "role": "viewer", "name": "ci"} | times
    seen = {"last_seen_at": "2026-01-01T00:00:00.000Z"}
    worker = {"name": "w1", "state": "busy", "queues": ["a", "b"], "slots": 2, "job": "job_1"} | seen
    queue = {"name": "a", "queued": 3, "running": 1, "oldest_queued_s": 2.5, "workers": 1}
    act = {"at": "2026-01-01T00:00:00.000Z", "project": "p", "actor": "key_1", "action": "job.submit"}
    act |= {"object": "job_1", "request_id": "r-1"}
    for name, item, words in (
        ("keys", key, ["key_1", "hr_0a1b2c3d", "viewer", "ci", "2026-01-01", "00:00:00"]),
        ("workers", worker, ["w1", "busy", "a,b", "2", "job_1", "2026-01-01", "00:00:00"]),
        ("queues", queue, ["a", "3", "1", "2.5", "1"]),
        ("audit", act, ["2026-01-01", "00:00:00", "p", "key_1", "job.submit", "job_1", "r-1"]),
    ):
        fake.answers["GET", f"/api/v1/{name}"] = page(item)
        command = [name, "list"] if name == "keys" else [name]
        assert run(*command).stdout.splitlines()[1].split() == words
        assert json.loads(run(*command, "--json").stdout) == [item]


def test_a_key_is_revoked(run: Run, fake: Fake) -> None:
    fake.answers["DELETE", "/api/v1/keys/key_1"] = (200, {})
    assert run("keys", "revoke", "key_1").stdout == "key_1 is revoked\n"
    assert run("keys", "revoke", "key_2").exception is not None


def test_submitting_puts_options_where_the_api_wants_them(run: Run, fake: Fake) -> None:
    fake.answers["POST", "/api/v1/jobs"] = (202, JOB)
    options = "--model m --dataset d@1 --algorithm cnn --target label --param epochs=5 --param optimizer=adam"
    more = (
        "--set split.test=0.2 --set seed=7 --priority 9 --tag team=vision --depends-on job_0 --max-attempts 1"
    )
    result = run("submit", "train", *options.split(), *more.split(), "--json")
    assert result.exception is None
    assert json.loads(result.stdout)["id"] == "job_1"
    assert fake.bodies == [
        {
            "kind": "train",
            "spec": {
                "model": "m",
                "dataset": "d@1",
                "algorithm": "cnn",
                "target": "label",
                "params": {"epochs": 5, "optimizer": "adam"},
                "split": {"test": 0.2},
                "seed": 7,
            },
            "priority": 9,
            "max_attempts": 1,
            "depends_on": ["job_0"],
            "tags": {"team": "vision"},
        }
    ]


def test_a_field_takes_its_value_from_the_result_of_another_job(run: Run, fake: Fake) -> None:
    fake.answers["POST", "/api/v1/jobs"] = (202, JOB)
    options = "--result model=job_0 --result params.l2=job_2.metrics.loss --depends-on job_2 --dataset d"
    assert run("submit", "evaluate", *options.split()).exception is None
    assert fake.bodies == [
        {
            "kind": "evaluate",
            "spec": {
                "model": {"$result": "job_0"},
                "dataset": "d",
                "params": {"l2": {"$result": "job_2", "path": "metrics.loss"}},
            },
            "depends_on": ["job_2", "job_0"],
        }
    ]


def test_a_file_or_standard_input_is_the_body_and_options_change_it(
    run: Run, fake: Fake, tmp_path: Path
) -> None:
    fake.answers["POST", "/api/v1/jobs"] = (202, JOB)
    body = {"kind": "train", "spec": {"params": {"epochs": 1, "l2": 0}}, "name": "from the file"}
    file = tmp_path / "job.json"
    file.write_text(json.dumps(body))
    assert run("submit", str(file), "--param", "epochs=3").exception is None
    assert run("submit", "-", input=json.dumps(body)).exception is None
    assert fake.bodies[0]["spec"] == {"params": {"epochs": 3, "l2": 0}}
    assert fake.bodies[1] == body


@pytest.mark.parametrize("text", ["{", "[]", '{"spec": 1}'])
def test_a_file_that_is_no_job_is_told(run: Run, tmp_path: Path, text: str) -> None:
    file = tmp_path / "job.json"
    file.write_text(text)
    assert isinstance(run("submit", str(file)).exception, click.ClickException)


@pytest.mark.parametrize(("state", "status"), [("succeeded", 0), ("failed", 1), ("cancelled", 3)])
def test_the_exit_status_tells_how_the_job_ended(run: Run, fake: Fake, state: str, status: int) -> None:
    fake.answers["GET", "/api/v1/jobs/job_1"] = (200, JOB | {"state": state})
    fake.answers["GET", "/api/v1/jobs/job_1/events"] = page()
    fake.answers["GET", "/api/v1/jobs"] = page()
    assert run("job", "job_1", "--wait").return_value == status
    assert run("job", "job_1", "--follow", "--json").return_value == status
    assert run("job", "job_1").return_value == 0


def test_a_job_whose_work_is_other_jobs_shows_them(fake: Fake, run: Run) -> None:
    tried = {"params": {"params.trees": 20, "params.max_depth": None}}
    parts = [
        JOB | {"id": "job_3", "part": "trial 1", "figures": {**tried, "state": "pruned", "value": 0.75}},
        JOB | {"id": "job_2", "part": "trial 0", "figures": {**tried, "state": "running"}},
    ]
    fake.answers["GET", "/api/v1/jobs/job_1"] = (200, JOB)
    fake.answers["GET", "/api/v1/jobs"] = page(*parts)
    *_, head, first, second = run("job", "job_1").stdout.splitlines()
    assert head.split() == ["part", "id", "state", "params.trees", "params.max_depth", "value"]
    assert first.split() == ["trial", "0", "job_2", JOB["state"], "20", "null"]
    assert second.split() == ["trial", "1", "job_3", "pruned", "20", "null", "0.75"]


def test_following_shows_states_metrics_and_log_but_no_escape_sequences(run: Run, fake: Fake) -> None:
    fake.answers["GET", "/api/v1/jobs/job_1"] = (200, JOB)
    fake.answers["GET", "/api/v1/jobs/job_1/events"] = page(*EVENTS)
    lines = run("job", "job_1", "--follow").stdout.splitlines()
    assert lines[:6] == [
        "10:00:00 running",
        "   50%  fitting",
        "  epoch 1  loss 0.25  val_accuracy 0.9",
        "  epoch 2  loss 0.125",
        "  │ a line\ufffd[2Jof log",
        "10:00:00 succeeded",
    ]


def test_following_as_json_prints_one_document_a_line_and_the_job_last(run: Run, fake: Fake) -> None:
    fake.answers["GET", "/api/v1/jobs/job_1"] = (200, JOB)
    fake.answers["GET", "/api/v1/jobs/job_1/events"] = page(*EVENTS)
    documents = [json.loads(line) for line in run("job", "job_1", "--follow", "--json").stdout.splitlines()]
    assert documents == [*EVENTS, JOB]


@pytest.mark.parametrize("command", ["jobs", "datasets", "models", "algorithms"])
def test_lists_are_tables_for_people_and_one_document_for_programs(
    run: Run, fake: Fake, command: str
) -> None:
    item = JOB | {"name": "digits", "latest_version": 3, "aliases": {"champion": 2}, "tasks": ["regression"]}
    fake.answers["GET", f"/api/v1/{command}"] = page(item)
    assert "digits" in run(command).stdout
    assert json.loads(run(command, "--json").stdout) == [item]
    fake.answers["GET", f"/api/v1/{command}"] = page()
    assert run(command).stdout.strip() == f"no {command}"


def test_a_model_is_shown_by_version_and_by_alias(run: Run, fake: Fake) -> None:
    version = {
        "model": "digits",
        "version": 2,
        "algorithm": "cnn",
        "params": {},
        "metrics": {"accuracy": 0.98765, "per_class": {}},
        "lineage": {"dataset": "digits", "dataset_version": 1, "dataset_digest": "sha256:aa"},
        "weights_digest": "sha256:bb",
        "digest": "sha256:cc",
        "size_bytes": 1_500_000,
        "job": "job_1",
        "created_at": "2026-01-01T00:00:00Z",
        "aliases": ["champion"],
    }
    fake.answers["GET", "/api/v1/models/digits"] = (200, {"name": "digits", "aliases": {"champion": 2}})
    fake.answers["GET", "/api/v1/models/digits/versions/2"] = (200, version)
    for ref in ("digits@2", "digits@champion"):
        shown = run("model", ref).stdout
        assert "digits@2" in shown
        assert "accuracy 0.9877" in shown
        assert "digits@1 sha256:aa" in shown
        assert "1.5 MB" in shown
    assert "no version" in str(run("model", "digits@gone").exception)


def test_durations_of_keys_are_checked(tmp_path: Path) -> None:
    args = ["keys", "create", "--project", "p", "--role", "viewer", "--expires-in", "soon"]
    result = CliRunner().invoke(cli, [*args, "--data", str(tmp_path)], standalone_mode=False)
    assert isinstance(result.exception, click.BadParameter)


def test_config_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql://app:s3cret@db/headrace")
    monkeypatch.setenv("HEADRACE_KEY", "hr_s3cret")
    for args in (["config"], ["config", "--json"]):
        shown = CliRunner().invoke(cli, args).stdout
        assert "s3cret" not in shown
        assert "HEADRACE_DATABASE_URL" in shown


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["job", "job_1", "--url", "http://127.0.0.1:9"], 1, "cannot reach http://127.0.0.1:9"),
        (["job"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
        (["up", "--port", "99999", "--data", "d"], 1, "port"),
    ],
)
def test_errors_are_one_message_on_standard_error(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    status: int,
    message: str,
) -> None:
    monkeypatch.setattr("headrace.client.transport.FIRST_PAUSE_S", 0.0)
    with pytest.raises(SystemExit) as ended:
        main(args)
    out, err = capsys.readouterr()
    assert ended.value.code == status
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_bug_is_one_message_too_unless_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr("headrace.config.Settings.load", broken)
    with pytest.raises(SystemExit):
        main(["config"])
    assert "KeyError" in capsys.readouterr().err
    with pytest.raises(KeyError):
        main(["--debug", "config"])


def test_a_command_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.cli.group._plugins", dict)
    with pytest.raises(HeadraceError, match="'worker' is not installed"):
        cli.get_command(click.Context(cli), "worker")


def test_every_command_can_be_loaded_and_explains_itself() -> None:
    for name, entry in COMMANDS.items():
        if entry.place:
            command = cli.get_command(click.Context(cli), name)
            assert command is not None
            assert command.help


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom headrace.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print(*sorted({'httpx', 'rich', 'sqlalchemy', 'pydantic', 'flask', 'celery'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    assert "scheduler" in done.stdout


EVALUATION = {
    "rows": 200,
    "bad_rows": 3,
    "metrics": {"accuracy": 0.915, "log_loss": 0.25},
    "intervals": {"level": 0.95, "metrics": {"accuracy": [0.868, 0.9463]}},
    "baseline": {"predicts": "a", "metrics": {"accuracy": 0.5}},
    "verdict": {"beats_baseline": True, "text": "The model beats the baseline."},
    "slices": [
        {
            "column": "age",
            "groups": [
                {
                    "from": 1.0,
                    "to": 2.5,
                    "rows": 150,
                    "metrics": {"mae": 1.25},
                    "intervals": {"mae": [1.0, 1.5]},
                },
                {"value": None, "rows": 9, "metrics": {"mae": 2.0}, "intervals": {}, "small": True},
                {"others": 30, "rows": 41, "metrics": {"mae": 9.0}, "intervals": {}, "differs": "worse"},
            ],
            "fairness": [
                {
                    "label": "yes",
                    "compared": 2,
                    "metrics": {"demographic_parity_ratio": 0.5},
                    "intervals": {"demographic_parity_ratio": [0.25, 0.75]},
                    "groups": [
                        {"rows": 150, "of_class": 30, "rates": {"selection_rate": 0.25}, "intervals": {}},
                        {"rows": 9, "of_class": 2, "rates": {}, "intervals": {}},
                        {"rows": 41, "of_class": 20, "rates": {"selection_rate": 0.5}, "intervals": {}},
                    ],
                }
            ],
        }
    ],
    "warnings": [{"column": "code", "kind": "leak", "message": "This column alone tells the target."}],
}


def test_an_evaluation_is_shown_as_tables(run: Run, fake: Fake) -> None:
    model = {"name": "m", "latest_version": 4, "aliases": {"champion": 2}}
    fake.answers["GET", "/api/v1/models/m"] = (200, model)
    for path in ("models/m/versions/4", "models/m/versions/2", "models/m/versions/3", "jobs/job_1"):
        fake.answers["GET", f"/api/v1/{path}/evaluation"] = (200, EVALUATION | {"note": f"of {path}"})
    lines = [" ".join(line.split()) for line in run("evaluation", "m").stdout.splitlines()]
    for line in (
        "verdict The model beats the baseline.",
        "note of models/m/versions/4",
        "accuracy 0.915 0.868 to 0.9463 0.5",
        "log_loss 0.25",
        "1 to 2.5 150 1.25 (1 to 1.5)",
        "missing 9 2 few rows",
        "30 other levels 41 9 worse",
        "1 to 2.5 150 30 0.25",
        "demographic parity ratio 0.5 (0.25 to 0.75)",
        "code leak This column alone tells the target.",
    ):
        assert line in lines
    for what, of in (
        ("m@champion", "models/m/versions/2"),
        ("m@3", "models/m/versions/3"),
        ("job_1", "jobs/job_1"),
    ):
        assert json.loads(run("evaluation", what, "--json").stdout) == EVALUATION | {"note": f"of {of}"}


EXPLANATION = {
    "model": "m@4",
    "dataset": "d@1",
    "method": "permutation",
    "task": "classification",
    "rows": {"used": 20, "of": 90, "part": "test"},
    "importance": {
        "metrics": {"accuracy": 0.9},
        "features": [
            {"feature": name, "metrics": {"accuracy": {"mean": mean, "interval": [mean - 0.1, mean + 0.1]}}}
            for name, mean in (("x", 0.5), ("z", 0.25))
        ],
    },
    "partial_dependence": [{"feature": "x", "grid": [1, 2], "curves": [{"label": "a", "mean": [0.1, 0.9]}]}],
}


def test_explain_submits_waits_and_shows(run: Run, fake: Fake) -> None:
    model = {"name": "m", "latest_version": 4, "aliases": {"champion": 2}}
    fake.answers["GET", "/api/v1/models/m"] = (200, model)
    lineage = {"dataset": "d", "dataset_version": 1}
    fake.answers["GET", "/api/v1/models/m/versions/4"] = (200, {"lineage": lineage})
    fake.answers["POST", "/api/v1/jobs"] = (202, JOB)
    fake.answers["GET", "/api/v1/jobs/job_1"] = (200, JOB)
    fake.answers["GET", "/api/v1/jobs/job_1/events"] = (200, {"items": [], "next_cursor": None})
    fake.answers["GET", "/api/v1/jobs/job_1/explanation"] = (200, EXPLANATION)
    shown = run("explain", "m", "--rows", "20", "--dependence", "x")
    assert fake.bodies[0]["kind"] == "explain"
    assert fake.bodies[0]["spec"] == {
        "model": "m",
        "dataset": "d@1",
        "method": "permutation",
        "rows": 20,
        "partial_dependence": ["x"],
    }
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "rows 20 of 90 test rows of d@1" in lines
    assert f"x {'█' * 24} 0.5 (0.4 to 0.6)" in lines
    assert f"z {'█' * 12} 0.25 (0.15 to 0.35)" in lines
    assert "2 0.9" in lines
    made = {"job": "job_1", "method": "permutation", "dataset": "d@1", "created_at": JOB["created_at"]}
    path = "/api/v1/models/m/versions/2/explanations"
    fake.answers["GET", path] = (200, {"items": [made], "next_cursor": None})
    for what in ("m@champion", "job_1"):
        assert json.loads(run("explanation", what, "--json").stdout) == EXPLANATION
    assert "job_1 permutation d@1" in " ".join(run("explanation", "m@2", "--list").stdout.split())
    fake.answers["GET", path] = (200, {"items": [], "next_cursor": None})
    refused = run("explanation", "m@2").exception
    assert isinstance(refused, click.ClickException)
    assert "nobody has explained m@2: headrace explain m@2" in refused.message


def test_attributions_are_shown_as_tables(run: Run, fake: Fake) -> None:
    words = [{"word": "great", "adds": 0.5, "rows": 9}, {"word": "dull", "adds": -0.25, "rows": 4}]
    attributions = {
        "input": "text",
        "baseline": "as many tokens of padding",
        "completeness": {"largest_error": 0.0123},
        "words": [{"label": "good", "rows": 10, "words": words}],
    }
    found = {name: EXPLANATION[name] for name in ("model", "dataset", "method", "task", "rows")}
    fake.answers["GET", "/api/v1/jobs/job_1/explanation"] = (200, found | {"attributions": attributions})
    lines = [" ".join(line.split()) for line in run("explanation", "job_1").stdout.splitlines()]
    assert "sums miss by at most 0.012" in lines
    assert f"great {'█' * 24} 0.5 9" in lines
    assert f"dull {'█' * 12} -0.25 4" in lines
