"""Recommenders through the engine: what they learn, what they say of strangers, the lists that they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import learning
from headrace.specs.task import Task
from headrace_workers.engine import main, online
from headrace_workers.engine.algorithms.base import Problem, TensorSpec
from headrace_workers.engine.algorithms.two_tower import TwoTower, TwoTowerParams
from headrace_workers.engine.data import split
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.evaluation.recommendation import popular
from headrace_workers.engine.package import Package
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.training.ranking import USERS

USER_COUNT, ITEM_COUNT = 50, 30
PARAMS = {"user": "who", "item": "film", "epochs": 12, "learning_rate": 0.03, "factors": 4, "l2": 0.001}
SPEC: dict[str, Any] = {"task": "recommendation", "features": [], "split": {"validation": 0.1, "test": 0.2}}


def _pairs() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return users, items and the cosine of the angle between their places on a circle."""
    rng = np.random.default_rng(0)
    of_users, of_items = (rng.uniform(0, 2 * np.pi, count) for count in (USER_COUNT, ITEM_COUNT))
    chosen = rng.permutation(USER_COUNT * ITEM_COUNT)
    who, film = chosen // ITEM_COUNT, chosen % ITEM_COUNT
    return who, film, np.cos(of_users[who] - of_items[film])


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> tuple[learning.Data, learning.Ran]:
    folder = tmp_path_factory.mktemp("rated")
    who, film, near = _pairs()
    columns: dict[str, tuple[Any, Any]] = {
        "who": ("text", [f"u{user}" for user in who[:1000]]),
        "film": ("integer", film[:1000]),
        "stars": ("number", 3 + 2 * near[:1000]),
    }
    data = learning.write(folder, columns)
    return data, learning.train(folder, data, "matrix_factorization", "stars", params=PARAMS, **SPEC)


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> tuple[learning.Data, learning.Ran]:
    folder = tmp_path_factory.mktemp("clicked")
    who, film, near = _pairs()
    who, film = who[near > 0.3], film[near > 0.3]
    # Everybody's features tell where on the circle they are; user 0 and item 0 are known by these alone.
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, USER_COUNT + ITEM_COUNT)
    sides = {"user": angles[:USER_COUNT][who], "item": angles[USER_COUNT:][film]}
    columns: dict[str, tuple[Any, Any]] = {
        "who": ("integer", who),
        "film": ("integer", film),
        "part": (
            "category",
            np.where((who == 0) | (film == 0) | (np.arange(len(who)) % 5 == 0), "test", "train"),
        ),
    }
    for side, values in sides.items():
        columns |= {f"{side} right": ("number", np.cos(values)), f"{side} up": ("number", np.sin(values))}
    data = learning.write(folder, columns)
    params = PARAMS | {
        "user_features": ["user right", "user up"],
        "item_features": ["item right", "item up"],
        "negatives": 8,
        "early_stopping": None,
    }
    spec = SPEC | {"split": {"by": "column:part", "validation": 0.0}, "target": None}
    return data, learning.train(folder, data, "two_tower", params=params, **spec)


def _predictor(ran: learning.Ran) -> Predictor:
    return Package.load(ran.package).predictor


def test_ratings_are_learned_better_than_habits(rated: tuple[learning.Data, learning.Ran]) -> None:
    evaluation = rated[1].evaluation
    found, trivial = evaluation["metrics"], evaluation["baseline"]["metrics"]
    assert found["rmse"] < 0.7 * trivial["rmse"]
    assert found["mae"] < 0.7 * trivial["mae"]
    assert evaluation["verdict"]["beats_baseline"]
    low, high = evaluation["intervals"]["metrics"]["rmse"]
    assert low < found["rmse"] < high
    told = evaluation["interactions"]
    assert told["users"] == USER_COUNT
    # The others have rated nothing above the mean among these rows.
    assert 40 < told["ranked_users"] < USER_COUNT
    assert [entry["k"] for entry in evaluation["top"]] == [1, 2, 5, 10, 20, 50]
    assert found["recall_at_10"] == evaluation["top"][3]["metrics"]["recall"]


def test_lists_are_judged_on_validation_rows_too(
    rated: tuple[learning.Data, learning.Ran], tmp_path: Path
) -> None:
    # By these tune compares. What is held out there is not met yet, in lists for use it is.
    task = Task.model_validate_json((rated[1].out.parent / "task.json").read_bytes())
    messages: list[Any] = []
    main.run(_written(tmp_path, task.model_copy(update={"validation": True})), messages.append)
    found = learning.Ran(tmp_path / "out", messages)
    validation = found.done.result["validation"]
    assert validation.keys() == rated[1].evaluation["metrics"].keys()
    assert validation["recall_at_10"] > 0.5
    seen: Any = _predictor(found).learner.seen  # type: ignore[attr-defined]
    rows = found.done.result["rows"]
    assert len(seen.items) == rows["train"] + rows["validation"]
    assert found.done.result["metrics"] == rated[1].done.result["metrics"]


def _written(folder: Path, task: Task) -> Path:
    (folder / "task.json").write_text(task.model_dump_json())
    return folder


def test_the_figures_are_those_of_the_predictions(rated: tuple[learning.Data, learning.Ran]) -> None:
    data, ran = rated
    predictor, table = _predictor(ran), data.table
    spec = learning.train_spec(data, "matrix_factorization", "stars", params=PARAMS, **SPEC)
    parts = split.divide(
        Reader(data.path, data.columns),
        split.Split.model_validate(spec["split"]),
        [],
        "stars",
        ["who", "film"],
    )
    test = table.filter(parts == split.TEST)
    errors = (
        test["stars"].to_numpy() - predictor.predict(test.drop_columns(["stars"]))["prediction"].to_numpy()
    )
    assert ran.evaluation["metrics"]["rmse"] == pytest.approx(np.sqrt(np.square(errors).mean()))
    assert ran.evaluation["metrics"]["mae"] == pytest.approx(np.abs(errors).mean())
    assert ran.evaluation["rows"] == len(test)


def test_pairs_stay_on_their_side_whatever_their_rating(tmp_path: Path) -> None:
    columns: dict[str, tuple[Any, Any]] = {
        "who": ("integer", [i % 40 for i in range(400)]),
        "film": ("integer", [i % 8 for i in range(400)]),
        "stars": ("number", [float(i % 5) for i in range(400)]),
    }
    data = learning.write(tmp_path, columns)
    reader = Reader(data.path, data.columns)
    parts = split.divide(reader, split.Split(), [], "stars", ["who", "film"])
    sides: dict[tuple[int, int], set[int]] = {}
    for user, item, part in zip(columns["who"][1], columns["film"][1], parts.tolist(), strict=True):
        sides.setdefault((user, item), set()).add(part)
    assert all(len(found) == 1 for found in sides.values())
    assert {part for found in sides.values() for part in found} == {1, 2, 3}


def test_lists_hold_the_best_of_what_was_not_met(
    rated: tuple[learning.Data, learning.Ran], tmp_path: Path
) -> None:
    _, ran = rated
    users = ["u3", "nobody", "u1", "u3"]
    asked = learning.write(tmp_path, {"who": ("text", users)})
    found = learning.predict(tmp_path, asked, ran.package, k=4)
    table = pq.read_table(found.output)
    assert table.column_names == ["user", "rank", "item", "score", "new_user"]
    assert found.done.result["rows"] == 12
    assert table["user"].to_pylist() == ["u3"] * 4 + ["nobody"] * 4 + ["u1"] * 4
    assert table["rank"].to_pylist() == [1, 2, 3, 4] * 3
    assert table["new_user"].to_pylist() == [False] * 4 + [True] * 4 + [False] * 4
    predictor = _predictor(ran)
    columns, seen = predictor.preprocessing, predictor.learner.seen  # type: ignore[attr-defined]
    for user in ("u3", "u1"):
        number = columns.user.ids.index(user)  # type: ignore[attr-defined]
        met = {columns.item.ids[i] for i in seen.of(np.array([number]))[1]}  # type: ignore[attr-defined]
        rest = [item for item in range(ITEM_COUNT) if item not in met]
        assert len(met) > 5
        every = learning.pa.table({"who": [user] * len(rest), "film": rest})
        scores = predictor.predict(every)["prediction"].to_numpy()
        best = sorted(zip(-scores, rest, strict=True))[:4]
        mine = table.filter(learning.pa.compute.equal(table["user"], user))
        assert mine["item"].to_pylist() == [item for _, item in best]
        assert mine["score"].to_numpy() == pytest.approx([-score for score, _ in best], abs=1e-5)


def test_a_list_ends_where_there_is_nothing_left(
    rated: tuple[learning.Data, learning.Ran], tmp_path: Path
) -> None:
    asked = learning.write(tmp_path, {"who": ("text", ["u3", "nobody"])})
    table = pq.read_table(learning.predict(tmp_path, asked, rated[1].package, k=1000).output)
    counts = {user: table["user"].to_pylist().count(user) for user in ("u3", "nobody")}
    assert counts["nobody"] == ITEM_COUNT
    assert 0 < counts["u3"] < ITEM_COUNT


def test_many_users_get_what_each_gets_alone(
    rated: tuple[learning.Data, learning.Ran], tmp_path: Path
) -> None:
    learner: Any = _predictor(rated[1]).learner
    numbers = np.resize(np.arange(USER_COUNT + 1, dtype=np.int32), USERS + 7)
    items, scores = learner.rank({"user": numbers}, 6)
    for row in (0, 50, USERS - 1, USERS, USERS + 6):
        alone = learner.rank({"user": numbers[row : row + 1]}, 6)
        assert (alone[0] == items[row]).all()
        assert (alone[1] == scores[row]).all()


def test_strangers_are_told_and_get_what_is_known_of_the_others(
    rated: tuple[learning.Data, learning.Ran],
) -> None:
    predictor = _predictor(rated[1])
    table = learning.pa.table({"who": ["u1", "nobody", "u1", "nobody"], "film": [1, 1, 99, 99]})
    found = predictor.predict(table)
    assert found["new_user"].to_pylist() == [False, True, False, True]
    assert found["new_item"].to_pylist() == [False, False, True, True]
    mean = predictor.target.mean
    assert found["prediction"][3].as_py() == pytest.approx(mean, abs=0.3)
    assert np.isfinite(found["prediction"].to_numpy()).all()
    assert found["prediction"].to_numpy().min() >= predictor.target.low


def test_features_speak_for_new_users_and_items(clicked: tuple[learning.Data, learning.Ran]) -> None:
    data, ran = clicked
    evaluation = ran.evaluation
    told = evaluation["interactions"]
    assert told["new_users"] == 1
    assert told["rows_of_new_users"] > 3
    assert told["rows_of_new_items"] > 3
    assert evaluation["metrics"]["ndcg_at_10"] > 1.2 * evaluation["baseline"]["metrics"]["ndcg_at_10"]
    assert evaluation["verdict"]["beats_baseline"]
    predictor, table = _predictor(ran), data.table
    mine = table.filter(learning.pa.compute.equal(table["who"], 0)).slice(0, 1)
    user = {name: mine[name][0].as_py() for name in ("who", "user right", "user up")}
    said = online.answer(predictor, [user])["predictions"][0]
    assert said["new_user"]
    near = set(table.filter(learning.pa.compute.equal(table["who"], 0))["film"].to_pylist())
    best = [entry["item"] for entry in said["items"][:5]]
    assert len(near & set(best)) >= 4


def test_online_a_pair_is_scored_and_a_user_alone_gets_a_list(
    rated: tuple[learning.Data, learning.Ran],
) -> None:
    predictor = _predictor(rated[1])
    found = online.answer(predictor, [{"who": "u1", "film": 2}, {"who": "x", "film": 99}])["predictions"]
    assert found[0].keys() == {"value", "new_user", "new_item"}
    assert found[1]["new_user"] is found[1]["new_item"] is True
    lists = online.answer(predictor, [{"who": "u1"}, {"who": "x"}])["predictions"]
    assert [len(entry["items"]) for entry in lists] == [10, 10]
    assert [entry["new_user"] for entry in lists] == [False, True]
    scores = [entry["score"] for entry in lists[0]["items"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("instances", "loc"),
    [
        ([{"who": "u1", "film": 2}, {"who": "u1"}], ["instances", 1, "film"]),
        ([{"who": None}], ["instances", 0]),
        ([{"who": 5}], ["instances", 0, "who"]),
        ([{"who": "u1", "more": 5}], ["instances", 0, "more"]),
        ([{}], ["instances", 0, "who"]),
    ],
)
def test_online_wrong_instances_are_told(
    rated: tuple[learning.Data, learning.Ran], instances: list[dict[str, Any]], loc: list[Any]
) -> None:
    errors = online.answer(_predictor(rated[1]), instances)["errors"]
    assert errors[0]["loc"] == loc


def test_an_evaluate_job_counts_strangers(rated: tuple[learning.Data, learning.Ran], tmp_path: Path) -> None:
    columns: dict[str, tuple[Any, Any]] = {
        "who": ("text", ["u1", "nobody", "u2", None, "u1"]),
        "film": ("integer", [1, 2, 99, 3, 5]),
        "stars": ("number", [5.0, 4.0, 5.0, 1.0, None]),
    }
    evaluation = learning.evaluate(tmp_path, learning.write(tmp_path, columns), rated[1].package).evaluation
    assert (evaluation["rows"], evaluation["bad_rows"]) == (3, 1)
    told = evaluation["interactions"]
    assert (told["users"], told["new_users"], told["rows_of_new_items"]) == (3, 1, 1)


def test_users_without_id_and_columns_of_lists_are_refused(
    rated: tuple[learning.Data, learning.Ran], tmp_path: Path
) -> None:
    holes = learning.write(tmp_path / "holes", {"who": ("text", ["u1", None])})
    failed = learning.predict(tmp_path / "a", holes, rated[1].package).failed
    assert failed.message == "Row 2 has no user: column 'who' has no value."
    users = learning.write(tmp_path / "users", {"who": ("text", ["u1"])})
    failed = learning.predict(tmp_path / "b", users, rated[1].package, keep=["who"]).failed
    assert failed.message.startswith("keep: without the column 'film'")


def test_popular_items_are_those_that_most_users_have_met(rated: tuple[learning.Data, learning.Ran]) -> None:
    learner: Any = _predictor(rated[1]).learner
    counts = learner.seen.popularity(ITEM_COUNT)
    stranger = popular(learner, np.array([USER_COUNT]), ITEM_COUNT, 5)[0]
    assert counts[stranger].tolist() == sorted(counts, reverse=True)[:5]
    own = popular(learner, np.array([3]), ITEM_COUNT, 50)[0]
    met = set(learner.seen.of(np.array([3]))[1].tolist())
    assert not met & set(own[own >= 0].tolist())
    assert len(met) + (own >= 0).sum() == ITEM_COUNT


def test_clicks_are_evaluated_without_a_target(
    clicked: tuple[learning.Data, learning.Ran], tmp_path: Path
) -> None:
    data, ran = clicked
    evaluation = learning.evaluate(tmp_path, data, ran.package).evaluation
    assert evaluation["rows"] == data.table.num_rows
    # Nobody is to be shown what training had.
    assert evaluation["interactions"]["rows_met_in_training"] == ran.done.result["rows"]["train"]
    assert evaluation["metrics"] == pytest.approx(ran.evaluation["metrics"])


def test_the_tower_of_items_says_the_same_for_each_item_once_as_for_each_candidate() -> None:
    tables = {f"{side}_table": TensorSpec((2,), "float32") for side in ("user", "item")}
    numbers = {side: TensorSpec((), "int32", (21,)) for side in ("user", "item")}
    problem = Problem(task="recommendation", inputs=numbers | tables, outputs=1, target_shape=(0,))
    sides = {"user_features": ["a", "b"], "item_features": ["c", "d"], "negatives": 8}
    # Eight rows have 72 candidates, one row has nine; there are 20 items.
    once, each = (TwoTower(TwoTowerParams(**sides, batch_size=rows), problem) for rows in (8, 1))
    names = [[layer.name for layer in learner._learning.layers] for learner in (once, each)]
    assert ["all_items" in found for found in names] == [True, False]
    rng = np.random.default_rng(0)
    drawn = {weight.path: rng.normal(size=weight.shape) for weight in once._learning.weights}
    for learner in (once, each):
        for weight in learner._learning.weights:
            weight.assign(drawn[weight.path])
    batch = {side: rng.integers(0, 20, 8).astype(np.int32) for side in ("user", "item")}
    batch |= {name: rng.normal(size=(8, 2)).astype(np.float32) for name in tables}
    batch["negatives"] = rng.integers(0, 20, (8, 8)).astype(np.int32)
    scores, gradients = zip(
        *(_scores_and_gradients(learner._learning, batch) for learner in (once, each)), strict=True
    )
    np.testing.assert_allclose(*scores, rtol=1e-4)
    assert gradients[0].keys() == gradients[1].keys()
    for path, gradient in gradients[0].items():
        np.testing.assert_allclose(gradient, gradients[1][path], rtol=1e-3, atol=1e-4)


def _scores_and_gradients(model: Any, batch: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    import tensorflow as tf

    weights = {weight.path: weight.value for weight in model.trainable_weights}
    with tf.GradientTape() as tape:
        scores = model(batch)
        total = tf.reduce_sum(tf.nn.log_softmax(scores)[:, 0])
    found = tape.gradient(total, weights, unconnected_gradients="zero")
    return scores.numpy(), {path: tf.convert_to_tensor(each).numpy() for path, each in found.items()}
