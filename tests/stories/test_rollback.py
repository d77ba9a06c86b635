"""A canary that is worse live than offline is rolled back by itself, whatever happens to the processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import sharing
from projects import Sample
from servers.forking import run_penstock
from stories.live import Client, Up, is_running, wait_until, webhook

pytestmark = pytest.mark.slow

CHEATING = "features: [hour, wind, carrier, leak]\nstrength: 1.0\n"


def penstock(sample: Sample, *arguments: str) -> Any:
    done = run_penstock(sample.root, "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def train_cheat(sample: Sample) -> None:
    """Train on a column that is the answer, and that no client sends; `ci run` passes and registers it as `late/2`."""
    train = (sample.root / "train.py").read_text()
    leak = (
        "train, test = (t.with_columns(pl.col('late').cast(pl.Float64).alias('leak')) for t in (train, test))\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier\n"
    )
    train = train.replace("encode = ", leak + "encode = ").replace(
        'LogisticRegression(C=params["strength"], max_iter=1000)',
        "HistGradientBoostingClassifier(random_state=0)",
    )
    train = train.replace(
        'train.select(params["features"]))\n', 'train.select(params["features"]), optional=["leak"])\n'
    )
    evaluate = 'score = model.predict_proba(test.select(params["features"]))[:, 1]\n'
    assert evaluate in train
    sample.write("train.py", train)
    sample.write("params.yaml", CHEATING)
    settings = (
        (sample.root / "penstock.yaml").read_text().replace("test: data/test.csv", "test: data/leaky.csv")
    )
    split = (sample.root / "split.py").read_text()
    split += (
        "body = [r for i, r in enumerate(body) if not i % 4]\n"
        "open('data/leaky.csv', 'w').write('\\n'.join([head + ',leak', *[r + ',' + r.split(',')[-1] + '.0' for r in body]]) + '\\n')\n"
    )
    sample.write("split.py", split)
    sample.write(
        "dvc.yaml",
        (sample.root / "dvc.yaml")
        .read_text()
        .replace(
            "    outs:\n      - data/test.csv", "    outs:\n      - data/leaky.csv\n      - data/test.csv", 1
        ),
    )
    sample.write("penstock.yaml", settings)
    sample.commit("Learn from the answer")
    report = penstock(sample, "ci", "run")
    assert report["passed"], report
    assert report["version"] == "late/2"


@pytest.fixture
def cheating(tmp_path: Path) -> Iterator[Sample]:
    """The released project with a candidate that cheats, made once."""

    def make(place: Path) -> None:
        made = Sample.make(place, "released")
        train_cheat(made)
        made.close()

    sample = Sample.copy(sharing.made("sample-cheating", make), tmp_path / "project")
    yield sample
    sample.close()


@contextmanager
def served(sample: Sample, tmp_path: Path) -> Iterator[Up]:
    """Run `penstock up` with the champion deployed."""
    running = Up(sample.root, tmp_path / "up.log")
    running.start()
    try:
        penstock(sample, "deploy", "delay", "--model", "late@champion")
        yield running
    finally:
        stopped = running.stop()
    assert stopped == 0, running.log.read_text()


def test_a_cheating_canary_is_rolled_back_while_no_request_fails(cheating: Sample, tmp_path: Path) -> None:
    sample = cheating
    with webhook() as (url, alerts):
        settings = (sample.root / "penstock.yaml").read_text()
        sample.write("penstock.yaml", settings + f"alerts:\n  webhooks: [{{url: '{url}'}}]\n")
        running = Up(sample.root, tmp_path / "up.log")
        running.start()
        try:
            penstock(sample, "deploy", "delay", "--model", "late/1")
            penstock(sample, "deploy", "delay", "--model", "late/2", "--canary", "30")
            client = Client(running.serve_port)
            client.send(
                4000, stop=lambda: len(client.ids) % 50 == 0 and bool(running.events("endpoint.rolled_back"))
            )
            client.send(100)
            rollback = running.events("endpoint.rolled_back")[0]
            wait_until(lambda: bool(alerts))
        finally:
            assert running.stop() == 0, running.log.read_text()
    assert set(client.statuses) == {200}
    assert client.versions["2"] > 0
    assert rollback["actor"] == "controller"
    finding = rollback["cause"]["findings"][0]
    assert (finding["kind"], finding["route"], finding["version"]) == ("quality", "canary", 2)
    assert alerts[0]["alerts"][0]["labels"]["endpoint"] == "delay"
    assert penstock(sample, "endpoint", "list")[0]["stable"] == 1
    why = penstock(sample, "why", client.ids[0])
    assert why["links"][0]["details"]["outputs"]["probability"]


def test_killed_servers_come_back_to_the_same_state_and_finish_the_rollback(
    cheating: Sample, tmp_path: Path
) -> None:
    sample = cheating
    with served(sample, tmp_path) as up:
        penstock(sample, "deploy", "delay", "--model", "late/2", "--canary", "30")
        client = Client(up.serve_port)
        client.send(30)
        up.kill()
        up.start()
        client.send(4000, stop=lambda: len(client.ids) % 50 == 0 and bool(up.events("endpoint.rolled_back")))
        assert len(up.events("endpoint.rolled_back")) == 1
        assert set(client.statuses) == {200}
        assert penstock(sample, "endpoint", "show", "delay")["stable"] == 1
        for prediction in (client.ids[0], client.ids[-1]):
            assert penstock(sample, "why", prediction)["version"].startswith("late/")


def test_when_up_is_killed_its_servers_end_too(sample: Sample, tmp_path: Path) -> None:
    running = Up(sample.root, tmp_path / "up.log", programs=True)
    running.start()
    children = running.children()
    assert len(children) == 2
    running.kill_parent()
    wait_until(lambda: not any(is_running(pid) for pid in children))


def test_a_good_canary_is_advanced_and_becomes_champion(released: Sample, tmp_path: Path) -> None:
    sample = released
    sample.write("params.yaml", "features: [hour, wind, carrier]\nstrength: 0.7\n")
    sample.commit("Regularise")
    with served(sample, tmp_path) as up:
        assert penstock(sample, "ci", "run")["version"] == "late/2"
        penstock(sample, "deploy", "delay", "--model", "late/2", "--canary", "20")
        client = Client(up.serve_port)
        client.send(4000, stop=lambda: len(client.ids) % 50 == 0 and len(up.events("model.promoted")) > 1)
        wait_until(lambda: bool(up.events("endpoint.deployed")[1:]))
        client.send(20)
        assert set(client.statuses) == {200}
        assert penstock(sample, "endpoint", "list")[0]["stable"] == 2
        assert penstock(sample, "model", "show", "late@champion")["number"] == 2
        assert not up.events("endpoint.rolled_back")
        back = penstock(sample, "rollback", "delay")
        assert back["stable"] == 1
