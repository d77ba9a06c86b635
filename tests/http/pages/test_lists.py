"""Lists of runs on a store of hostile data: paged, sorted, filtered, chosen columns, the best marked, compared, found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from hostile import MARKUP, NOTE, START_MS, Hostile, fill
from penstock.http.app import build_server_app
from penstock.http.pages import list_views, model_views
from penstock.http.pages.runs import compare_views
from penstock.http.pages.runs.tables import clause, is_loss
from penstock.processes.controller import ControllerLoop
from penstock.records.search.entities import RUNS
from penstock.records.search.grammar import parse_order_by
from penstock.registry.aliases import move_alias
from penstock.registry.entities import AliasMove, Manifest, ModelVersion, Provenance
from penstock.registry.states import VersionState, add_state
from penstock.registry.versions import add_version
from penstock.tracking.entities import MetricPoint, Run
from penstock.tracking.experiments import ensure_experiment, list_active_ids
from penstock.tracking.metrics import RunReference, log_points
from penstock.tracking.runs import create_run
from projects import Sample
from tables import table

CROWD = 250


@pytest.fixture(scope="module")
def sample(released_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    sample = Sample.copy(released_root, tmp_path_factory.mktemp("lists") / "project")
    yield sample
    sample.project.close()


@pytest.fixture(scope="module")
def store(sample: Sample) -> tuple[TestClient, Hostile]:
    hostile = fill(sample.project, run_count=CROWD)
    app = build_server_app(sample.project, ControllerLoop(sample.project))
    return TestClient(app, raise_server_exceptions=False, follow_redirects=False), hostile


def words_of(text: str) -> str:
    return re.sub(r" ([:,;.])", r"\1", " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split()))


def rows_of(text: str) -> list[str]:
    return re.findall(r'<tr data-key="([0-9a-f]{32})">', text)


def test_runs_are_paged_on_the_server_in_the_order_that_the_address_names(
    store: tuple[TestClient, Hostile],
) -> None:
    client, hostile = store
    address = f"/experiments/{hostile.crowd}?order=metrics.loss+ASC"
    seen: list[str] = []
    pages = 0
    while address:
        text = client.get(address).text
        assert len(text) < 300_000
        seen += rows_of(text)
        pages += 1
        following = re.search(r'<a href="(\?[^"]*)" rel="next"', text)
        address = f"/experiments/{hostile.crowd}{unescape(following[1])}" if following else ""
    assert pages == 3
    assert len(seen) == len(set(seen)) == CROWD
    losses = {f"{place:032x}": place - 1_000_000 for place in range(1_000_000, 1_000_000 + CROWD)}
    assert seen == sorted(seen, key=lambda run_id: losses[run_id] * 7919 % 10_007)


def test_the_best_of_all_runs_is_marked_wherever_the_page_is(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    text = client.get(f"/experiments/{hostile.crowd}?order=metrics.loss+ASC").text
    row = text[text.index("<tbody>") :].split("</tr>")[0]
    assert 'class="n best" data-name="loss"' in row
    assert text.count('best" data-name="loss"') == 1
    worst = client.get(f"/experiments/{hostile.crowd}?order=metrics.loss+DESC").text
    assert 'best" data-name="loss"' not in worst


def test_runs_that_share_the_best_value_are_all_marked_and_none_is_said_to_differ(
    store: tuple[TestClient, Hostile], sample: Sample
) -> None:
    client, _hostile = store
    with sample.project.database.write() as connection:
        for count, name in ((5, "tied"), (120, "crowded")):
            for place in range(count + 1):
                create_run(
                    connection,
                    Run(
                        id=f"{count * 1_000_000 + place:032x}",
                        experiment=name,
                        name=f"grid-{place}",
                        status="FINISHED",
                        start_ms=START_MS + place,
                        end_ms=START_MS + place + 1,
                        params={"C": str(place)},
                        metrics={"roc_auc": 0.9484 if place < count else 0.9},
                    ),
                )
        numbers = [ensure_experiment(connection, name) for name in ("tied", "crowded")]
    text = client.get(f"/experiments/{numbers[0]}").text
    told = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", text)))
    assert "Best roc_auc: 5 runs share 0.9484, grid-4 among them, before 0.9" in told
    assert "it differs in" not in told
    assert "Compare them" in told
    assert text.count('best" data-name="roc_auc"') == 5
    crowded = re.sub(r"<[^>]*>", "", client.get(f"/experiments/{numbers[1]}").text)
    assert "more than 100 runs share 0.9484" in crowded
    one = " and ".join(f"params.C != '{place}'" for place in range(4))
    alone = client.get(f"/experiments/{numbers[0]}", params={"filter": one}).text
    assert "it differs in <b>" in alone
    assert alone.count('best" data-name="roc_auc"') == 1


def test_a_metric_that_no_run_has_is_told_with_the_one_that_there_is(
    store: tuple[TestClient, Hostile], sample: Sample
) -> None:
    client, _hostile = store
    with sample.project.database.write() as connection:
        run = Run(
            id="f" * 32,
            experiment="files",
            name="one",
            status="FINISHED",
            start_ms=START_MS,
            end_ms=START_MS + 1,
            metrics={"metrics.json:roc_auc": 0.9},
        )
        create_run(connection, run)
        number = ensure_experiment(connection, "files")
    for asked in ("roc_auc", "`metrics.json:roc_auk`"):
        page = client.get(f"/experiments/{number}", params={"order": f"metrics.{asked} DESC"})
        assert "; there is 'metrics.json:roc_auc'" in unescape(page.text), asked


def test_columns_are_chosen_in_the_address_and_kept_by_every_link(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    address = f"/experiments/{hostile.crowd}?column=params.seed&column=metrics.rows"
    text = client.get(address).text
    heads = re.findall(r'<a href="\?[^"]*" title="((?:metrics|params)\.[^"]*)"', text)
    assert heads == ["params.seed", "metrics.rows"]
    links = re.findall(r'<a href="(\?[^"]*order=[^"]*)"', text)
    assert links
    assert all("column=params.seed" in one and "column=metrics.rows" in one for one in links)


@table("text", ["bogus(", "metrics.loss <", "params.depth > 3", "tags.x = y"])
def test_a_filter_that_is_wrong_shows_mlflows_own_words_under_the_box(
    store: tuple[TestClient, Hostile], text: str
) -> None:
    client, hostile = store
    body = {"experiment_ids": [str(hostile.crowd)], "filter": text}
    told = client.post("/api/2.0/mlflow/runs/search", json=body).json()["message"]
    page = client.get(f"/experiments/{hostile.crowd}", params={"filter": text}).text
    shown = re.search(r'role="alert" id="filter-problem">(.*?)</p>', page)
    assert shown is not None
    assert unescape(shown[1]) == told
    assert f'value="{text}"'.replace("<", "&lt;").replace(">", "&gt;") in page


@table("key", ["loss", "a b", "a-b/c", "ключ", "a.b", 'quo"te', "back`tick"])
def test_every_key_can_be_ordered_by(key: str) -> None:
    (order,) = parse_order_by([f"{clause('metrics', key)} DESC"], RUNS)
    assert (order.kind, order.key, order.ascending) == ("metric", key, False)


def test_names_say_whether_less_is_better_or_that_nobody_knows() -> None:
    assert [is_loss(one) for one in ("val_loss", "train/rmse", "test_auc", "top1-accuracy", "rows", "brier")] == [
        True, True, False, False, None, True,
    ]  # fmt: skip
    turned = ("neg_mean_squared_error", "test_neg_log_loss", "cv/neg_brier_score")
    assert [is_loss(one) for one in turned] == [False] * 3
    assert [is_loss(one) for one in ("neg_loss", "precision_neg", "mean_neg_f1")] == [None, False, False]


def test_what_was_rolled_back_is_never_the_best_however_many_were(
    store: tuple[TestClient, Hostile], sample: Sample
) -> None:
    client, _hostile = store

    def make(connection: sa.Connection, name: str, values: Sequence[tuple[float, bool]]) -> int:
        for place, (value, is_out) in enumerate(values):
            run = Run(
                id=uuid5(NAMESPACE_URL, f"{name}{place}").hex,
                experiment=name,
                name=f"{name}-{place}",
                status="FINISHED",
                start_ms=START_MS + place,
                end_ms=START_MS + place + 1,
                params={"kind": "a" if place < 8 else "b"},
                metrics={"roc_auc": value, "fit_time": 10.0 * place},
            )
            create_run(connection, run)
            if is_out:
                draft = ModelVersion(
                    model="outs", number=0, digest=run.id * 2, created_ms=0, actor="ci", path="m",
                    manifest=Manifest(()), provenance=Provenance(run_id=run.id), metrics={},
                )  # fmt: skip
                made = add_version(connection, draft)
                state = VersionState(
                    model="outs", number=made.number, digest=made.digest, state="rolled_back", time_ms=START_MS,
                    actor="person:ada", reason="it was bad",
                )  # fmt: skip
                add_state(connection, state)
        return ensure_experiment(connection, name)

    outs = [(0.91 + place / 100, True) for place in range(7)]
    with sample.project.database.write() as connection:
        mixed = make(connection, "mixed", [*outs, (0.7, False), (0.6, False)])
        bad = make(connection, "bad", outs[:1])
    told = words_of(client.get(f"/experiments/{mixed}").text)
    assert "Best roc_auc: 0.7000 in mixed-7, before 0.6000 in mixed-8" in told
    assert "0.97 in mixed-6 does not count: it made outs/7" in told
    alone = words_of(client.get(f"/experiments/{bad}").text)
    assert "No run with roc_auc can be the best: what each made was rolled back" in alone
    assert "0.91 in bad-0 does not count" in alone
    assert "Best roc_auc" not in alone
    chosen = "group=params.kind&column=metrics.roc_auc&column=metrics.fit_time"
    groups = client.get(f"/experiments/{mixed}?{chosen}").text
    assert "best roc_auc mean greatest fit_time mean" in words_of(groups)
    row = groups.partition('data-key="group-a"')[2].partition("</tr>")[0]
    assert 'data-name="best roc_auc">0.7' in row, "the best of a group is none that was rolled back either"


def test_runs_of_every_experiment_are_looked_at_however_many_are_listed(
    store: tuple[TestClient, Hostile], sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _hostile = store
    monkeypatch.setattr(list_views, "EXPERIMENTS", 1)
    with sample.project.database.read() as connection:
        numbers = list_active_ids(connection)
    text = client.get("/experiments").text
    assert f"{len(numbers)} experiments." in words_of(text)
    assert "The newest 1 are shown" in words_of(text)
    last = client.get("/runs", params={"filter": "metrics.loss >= 0"}).text
    assert len(rows_of(last)) == 100, "the crowd's experiment is not the newest"
    monkeypatch.setattr(list_views, "MAX_LISTED", 1)
    assert f"Runs of the newest 1 of {len(numbers)} experiments are here" in words_of(
        client.get("/runs").text
    )


def test_what_a_page_leaves_out_is_told(
    store: tuple[TestClient, Hostile], sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _hostile = store
    ids = ["c" * 32, "d" * 32]
    with sample.project.database.write() as connection:
        for run_id in ids:
            run = Run(id=run_id, experiment="curves", name="c", status="RUNNING", start_ms=START_MS)
            create_run(connection, run)
            points = [MetricPoint(key, step + 0.5, START_MS, step) for key in "abc" for step in (0, 1)]
            log_points(connection, RunReference(run_id, ensure_experiment(connection, "curves")), points)
    address = f"/compare?runs={','.join(ids)}"
    for count, is_told in ((3, False), (2, True)):
        monkeypatch.setattr(compare_views, "CURVES", count)
        text = client.get(address).text
        assert text.count("<figure") == count
        assert (f"The first {count} metrics by name that have a curve are drawn" in text) is is_told
    with sample.project.database.write() as connection:
        for previous, version in ((None, 1), (1, None), (None, 1)):
            move = AliasMove(
                model="late", name="told", version=version, previous=previous, time_ms=START_MS, actor="ci",
                verdict_id=None,
            )  # fmt: skip
            move_alias(connection, move, expected=previous)
    told = re.compile(r"The newest (\d+) of (\d+) are shown")
    assert told.search(words_of(client.get("/models/late").text)) is None
    monkeypatch.setattr(model_views, "VERSIONS", 2)
    found = told.search(words_of(client.get("/models/late").text))
    assert found is not None
    assert (found[1], int(found[2]) >= 3) == ("2", True)


@table(
    ("status", "end_ms", "words"),
    [
        ("FINISHED", None, "It finished; when was not told."),
        ("KILLED", START_MS + 5000, "It was killed after 5.0 s."),
        ("SCHEDULED", None, "It is scheduled, and has not begun."),
        ("RUNNING", None, "It runs."),
    ],
)
def test_what_became_of_a_run_is_told_as_far_as_it_is_known(
    store: tuple[TestClient, Hostile], sample: Sample, status: str, end_ms: int | None, words: str
) -> None:
    client, _hostile = store
    run_id = uuid5(NAMESPACE_URL, status).hex
    with sample.project.database.write() as connection:
        run = Run(id=run_id, experiment="ends", name=status, status=status, start_ms=START_MS, end_ms=end_ms)
        create_run(connection, run)
    assert words in words_of(client.get(f"/runs/{run_id}").text)


def test_a_long_name_hides_no_column_and_is_whole_in_its_title(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    text = client.get(f"/experiments/{hostile.experiment}").text
    cells = re.findall(r"<bdi title=\"([^\"]*)\">(.*?)</bdi>", text)
    long = next((shown, whole) for whole, shown in cells if whole.startswith("long-") and len(whole) > 200)
    assert len(long[0]) == 40
    assert long[0].startswith("long-xxx")
    assert long[0].endswith("-tail")
    assert all(len(unescape(shown)) <= 72 for _, shown in cells)


def test_what_nobody_can_see_is_named_and_markup_is_text(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    for address in (
        f"/experiments/{hostile.experiment}",
        f"/runs/{hostile.turned}",
        f"/runs/{hostile.markup}",
    ):
        text = client.get(address).text
        assert "\u202e" not in text
        assert "<script>alert" not in text
        assert "<img" not in text
    assert "invoice⟨U+202E⟩fdp.exe" in client.get(f"/runs/{hostile.turned}").text


def test_infinity_nan_and_nothing_look_different(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    text = client.get(f"/runs/{hostile.endless}").text
    for shown in ("<dd>∞</dd>", "<dd>−∞</dd>", "<dd>NaN</dd>"):
        assert shown in text
    assert "e+308" not in text


def test_three_hundred_metrics_are_three_groups(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    text = client.get(f"/runs/{hostile.many}").text
    assert re.findall(r"<summary><bdi[^>]*>(\w+)</bdi>, (\d+)", text) == [
        ("system", "100"), ("train", "100"), ("valid", "100"),
    ]  # fmt: skip
    assert text.count("<figure") == 24
    of_group = client.get(f"/runs/{hostile.many}?group=valid").text
    assert re.findall(r'<figcaption><b title="([^"]*)"', of_group)[0] == "valid/loss_00"


def test_a_run_that_logged_a_model_shows_its_files(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    text = client.get(f"/runs/{hostile.model_run}").text
    link = f"/runs/{hostile.model_run}?model={hostile.logged_model}#files"
    assert link in text
    assert "None was logged" not in text
    assert client.get(link.partition("#")[0]).status_code == 200
    led = client.get(f"/logged-models/{hostile.logged_model}")
    assert (led.status_code, led.headers["location"]) == (303, link)


def test_a_description_is_markdown_and_no_tag(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    text = client.get(f"/runs/{hostile.markup}").text
    assert "<h2>What it is</h2>" in text
    assert "<strong>Bold</strong> and &lt;b onclick=alert(1)&gt;markup" in text
    assert "mlflow.note.content" not in text
    assert "evil.example" not in re.sub(r"<[^>]*>", "", "".join(re.findall(r"<img[^>]*>", text)))
    assert NOTE[:20] not in text


def test_a_child_leads_to_its_parent_and_back(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    assert f'part of <a href="/runs/{hostile.parent}"' in client.get(f"/runs/{hostile.child}").text
    assert f'<a href="/runs/{hostile.child}"' in client.get(f"/runs/{hostile.parent}").text


def test_compared_runs_show_what_differs_first(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    text = client.get(f"/compare?runs={hostile.long},{hostile.turned}").text
    assert text.index('"Table: What differs"') < text.index('"Table: What is the same"')
    differs = text[text.index('"Table: What differs"') : text.index('"Table: What is the same"')]
    assert "loss" in differs
    assert 'class="n best">0.2500' in differs
    assert client.get("/compare?runs=nothing").status_code == 404
    assert "Two runs at least" in client.get("/compare").text


def test_search_finds_what_the_product_prints(store: tuple[TestClient, Hostile]) -> None:
    client, hostile = store
    version = client.get("/api/penstock/v1/models/late/versions/1").json()
    run_id, commit = version["version"]["provenance"]["run_id"], version["version"]["provenance"]["commit"]
    for text, place in (
        ("delay", "/endpoints/delay"),
        ("late/1", "/models/late/1"),
        ("late@champion", "/models/late/champion"),
        ("champion", "/models/late/champion"),
        (version["version"]["digest"], "/models/late/1"),
        (version["verdict"]["id"], "/models/late/1#verdict"),
        (hostile.logged_model, f"/logged-models/{hostile.logged_model}"),
        (hostile.long, f"/runs/{hostile.long}"),
        ("crowd", f"/experiments/{hostile.crowd}"),
        ("delay#1", "/why/delay%231"),
        ("data/raw.csv", "/why/data/raw.csv"),
        (version["version"]["provenance"]["data"]["data/raw.csv"], "/why/data/raw.csv"),
        ("train", "/pipeline#stage-train"),
        ("models/late", "/data/models/late"),
        (run_id[:12], None),
        (commit, None),
    ):
        answer = client.get("/search", params={"q": text})
        if place is None:
            assert answer.status_code in {200, 303}, text
            assert answer.status_code == 303 or "late/1" in answer.text, text
        else:
            assert (answer.status_code, answer.headers.get("location")) == (303, place), text
    many = client.get("/search", params={"q": "run-0000"}).text
    assert many.count("<tr>") == 11
    assert "Nothing is called" in client.get("/search", params={"q": "certainly-not-there"}).text
    assert client.get("/search", params={"q": "%_\u202e" + MARKUP}).status_code == 200


def test_addresses_of_things_exist(store: tuple[TestClient, Hostile]) -> None:
    client, _hostile = store
    assert client.get("/models/late/champion").headers["location"] == "/models/late/1"
    for address in (
        "/models/late",
        "/endpoints",
        "/experiments",
        "/events",
        f"/models/{quote('long-' + 'x' * 195)}",
    ):
        assert client.get(address).status_code == 200, address
    assert client.get("/models/none").status_code == 404
    assert client.get("/models/late/none").status_code == 404


def test_runs_are_grouped_by_a_parameter_with_the_best_and_the_mean_of_each_metric(
    store: tuple[TestClient, Hostile],
) -> None:
    client, hostile = store
    text = client.get(
        f"/experiments/{hostile.crowd}?group=params.depth&filter=metrics.loss+%3E+0&column=metrics.loss"
    ).text
    rows = {
        one.split('"')[0]: [
            unescape(cell) for cell in re.findall(r">([^<>]+)</(?:td|bdi)>", one.split("</tr>")[0])
        ]
        for one in text.split('data-key="group-')[1:]
    }
    assert sorted(rows) == [str(place) for place in range(7)]
    losses = [(place * 7919 % 10_007) / 10_007 for place in range(CROWD)]
    own = [loss for place, loss in enumerate(losses) if place % 7 == 3]
    names = re.findall(r'<th class="n">best (\w+)</th>', text)
    at = 2 + 2 * names.index("loss")
    assert rows["3"][:2] == ["3", str(len(own))]
    assert [float(one) for one in rows["3"][at : at + 2]] == pytest.approx(
        [min(own), sum(own) / len(own)], abs=1e-4
    )
    link = re.search(r'href="(\?[^"]*)"[^>]*><bdi title="3">', text)
    assert link is not None
    narrowed = client.get(f"/experiments/{hostile.crowd}{unescape(link[1])}").text
    assert len(rows_of(narrowed)) == len(own)
    assert "metrics.loss &gt; 0 and params.depth = &#39;3&#39;" in narrowed
    hostile_text = client.get(f"/experiments/{hostile.experiment}?group=params.path").text
    assert "without it" in hostile_text
    assert "e+30" not in hostile_text
    assert "∞" in hostile_text
    assert client.get(f"/experiments/{hostile.experiment}?group=params.{quote(MARKUP)}").status_code == 200


def test_curves_are_compared_along_steps_or_time_smoothed_and_on_a_logarithmic_scale(
    store: tuple[TestClient, Hostile],
) -> None:
    client, hostile = store
    address = f"/compare?runs={hostile.many},{hostile.long}"
    plain = client.get(address).text
    assert "by step" in plain
    changed = client.get(f"{address}&along=time&smooth=0.9&scale=log").text
    assert "seconds since the run began, smoothed by 0.9, logarithmic" in changed
    assert re.findall(r'<polyline class="line" points="([^"]*)"', plain) != re.findall(
        r'<polyline class="line" points="([^"]*)"', changed
    )
    links = [unescape(one) for one in re.findall(r'href="(\?[^"]*)#curves"', changed)]
    assert {"linear", "steps", "none"} <= set(re.findall(r'#curves">(\w+)</a>', changed))
    assert all("runs=" in one for one in links)
    assert client.get(f"{address}&smooth=nan&along=%3Cscript%3E").status_code == 400


def test_what_is_found_is_called_by_its_name_with_its_id_beside_it(store: tuple[TestClient, Hostile]) -> None:
    client, _ = store
    rows = client.get("/search", params={"q": "run-0000"}).text.split("<tr>")[2:]
    for row in rows:
        assert re.search(r'<a href="/runs/([0-9a-f]{32})"><bdi title="run-0000\d+">', row)
        assert re.search(r'class="key" title="[0-9a-f]{32}">[0-9a-f]{8}</span>', row)


def test_curves_without_steps_say_so_and_are_not_called_steps(
    store: tuple[TestClient, Hostile], sample: Sample
) -> None:
    client, _ = store
    ids = [f"{place:032x}" for place in (901, 902, 903)]
    with sample.project.database.write() as connection:
        experiment = ensure_experiment(connection, "hostile")
        for place, run_id in enumerate(ids):
            run = Run(
                id=run_id,
                experiment="hostile",
                name="s",
                status="RUNNING",
                start_ms=START_MS,
                metrics={"auc": 0.5},
            )
            create_run(connection, run)
            points = [
                MetricPoint("auc", 0.1 * step, START_MS + step, step if place == 2 else 0)
                for step in range(4)
            ]
            log_points(connection, RunReference(run_id, experiment), points)
    without = client.get(f"/compare?runs={ids[0]},{ids[1]}").text
    assert "in the order logged: no steps" in without
    assert "by step" not in without
    both = client.get(f"/compare?runs={ids[2]},{ids[0]}").text
    assert "by step" in both
    assert "no steps" not in both


def test_experiments_begin_with_how_many_there_are(store: tuple[TestClient, Hostile]) -> None:
    text = store[0].get("/experiments").text
    assert re.search(r'<p class="answer">\d+ experiments. The one that changed last, ', text)
