"""What pages tell of a version that was rolled back more than once, whose files were, or that answers elsewhere all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.production.endpoints import POLICY, World, scored
from penstock.base.errors import Refused
from penstock.flows.chain.graph import build_graph
from penstock.flows.chain.lineage import explain
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import make_rollback, plan_rollback
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.registry.entities import Manifest, ModelVersion, Provenance
from penstock.registry.states import find_rolled_back, require_not_rolled_back
from penstock.registry.versions import add_version, get_version

EVIDENCE = "roc_auc 0.0947 on 150 labels is below 0.7"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`m/2`: out of `rolls` by its AUC, out of `churn` by hand, a canary on `other`. `m/4` has the files of `m/3`, which is out."""
    world = World(tmp_path_factory.mktemp("rollbacks") / "world")
    for number in range(1, 4):
        world.version(number, roc_auc=0.7 + number / 100)
    world.alias(1)
    for endpoint in ("rolls", "churn", "other", "third"):
        world.policy(POLICY, endpoint)
        world.deploy(1, endpoint=endpoint)
    world.deploy(1, 2, endpoint="rolls")
    world.traffic("canary", 150, endpoint="rolls", quality=scored(150, 3.0, inverted=True))
    finding = {
        "kind": "quality",
        "name": "roc_auc",
        "route": "canary",
        "breached": True,
        "sentence": EVIDENCE,
        "observed": 0.0947,
    }
    out = make_rollback(
        world.current("rolls"), ("m", 1), "controller", reason=EVIDENCE,
        cause={"findings": [finding]},
    )  # fmt: skip
    apply_deployment(world.project, out)
    world.deploy(1, 2, endpoint="churn")
    world.traffic("canary", 67, endpoint="churn", quality=scored(67, 3.0))
    apply_deployment(world.project, plan_rollback(world.project, "churn", reason="Ada did not like it"))
    world.deploy(1, 2, percent=5.0, endpoint="other")
    world.deploy(1, 3, endpoint="third")
    apply_deployment(world.project, plan_rollback(world.project, "third", reason="its AUC is 0.52"))
    draft = ModelVersion(
        model="m", number=0, digest=f"{3:064x}", created_ms=0, actor="retrain", path="m",
        manifest=Manifest(()), provenance=Provenance(commit="a" * 40), metrics={"roc_auc": 0.73},
    )  # fmt: skip
    with world.project.database.write() as connection:
        assert add_version(connection, draft).number == 4
    yield world
    world.project.close()


@pytest.fixture(scope="module")
def client(world: World) -> TestClient:
    return TestClient(build_server_app(world.project, ControllerLoop(world.project)))


def words_of(text: str) -> str:
    return re.sub(r" ([:,;.])", r"\1", " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split()))


def main_of(client: TestClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return str(answer.text.partition('<main id="main">')[2].partition("</main>")[0])


def test_a_version_with_the_files_of_one_that_was_rolled_back_says_whose_they_are(client: TestClient) -> None:
    page = main_of(client, "/models/m/4")
    words = words_of(page)
    assert "m/4 may not go out: it has the files of m/3, which was rolled back: its AUC is 0.52" in words
    head = words_of(page.partition('<div class="page-head">')[2].partition("</div>")[0])
    assert "↩ rolled back" not in head
    assert "files of m/3" in head
    assert "rolled m/3 back" in words
    assert "rolled it back" not in words
    card = words_of(main_of(client, "/models/m/4/card"))
    assert "It has the files of m/3, which was rolled back" in card.replace("\\", "")


def test_what_opens_a_models_page_is_the_version_that_was_out(client: TestClient) -> None:
    for address in ("/models/m", "/models"):
        page = main_of(client, address)
        assert "rolled back m/4" not in words_of(page), address
        assert "↩ rolled back m/3: its AUC is 0.52" in words_of(page), address
        row = words_of(page.split('data-key="m/4"')[1].partition("</tr>")[0])
        assert "↩ rolled back" not in row, (address, row)
        assert "has the files of m/3, which was rolled back" in row, (address, row)
    compared = words_of(main_of(client, "/models/m/compare?versions=1,4"))
    assert "↩ rolled back m/4" not in compared
    assert "m/4: it has the files of m/3, which was rolled back" in compared


def test_why_a_version_is_not_let_out_names_whose_files_it_has(client: TestClient, world: World) -> None:
    page = words_of(main_of(client, "/why/m/4"))
    assert "m/4 has the files of m/3, which was rolled back: its AUC is 0.52" in page
    assert "m/4 was rolled back" not in page
    with world.project.database.read() as connection:
        version = get_version(connection, "m", 4)
        with pytest.raises(
            Refused,
            match=r"m/4 cannot be deployed: it has the files of m/3, which was rolled back on .*0\.52",
        ):
            require_not_rolled_back(connection, version, "deployed")


@pytest.mark.parametrize("address", ["/models/m/2", "/why/m/2", "/models/m/2/card"])
def test_every_rollback_of_a_version_stays_told_with_its_endpoint(client: TestClient, address: str) -> None:
    page = words_of(main_of(client, address))
    for told in ("Ada did not like it", EVIDENCE, "churn", "rolls"):
        assert told in page, told
    assert page.index("Ada did not like it") < page.index(EVIDENCE)  # the newest first


def test_a_rollback_hangs_on_the_deployment_that_it_ended(world: World) -> None:
    graph = build_graph(world.project, explain(world.project, "m/2"))
    ended = {
        (before.partition(":")[2].partition("#")[0], graph.nodes[after].note.partition(":")[0])
        for before, after in graph.edges
        if graph.nodes[after].kind == "rollback"
    }
    assert ended == {("churn", "on churn"), ("rolls", "on rolls")}


def test_the_evidence_of_each_rollback_can_be_opened(client: TestClient) -> None:
    page = main_of(client, "/models/m/2")
    evidence = [
        words_of(one.partition("</details>")[0]) for one in page.split("Evidence of the rollback")[1:]
    ]
    assert [("churn" in one, "0.0947" in one) for one in evidence] == [(True, False), (False, True)]
    chain = main_of(client, "/why/m/2").partition('class="chain"')[2]
    assert len(re.findall("↩ rollback", chain)) == 2


def test_no_rollback_hides_another_wherever_it_is_refused(world: World) -> None:
    with world.project.database.read() as connection:
        state = find_rolled_back(connection, get_version(connection, "m", 2))
        assert state is not None
        assert "Ada" in state.sentence
        assert "0.0947" in state.sentence


def test_the_live_numbers_of_a_version_are_told_by_endpoint(client: TestClient) -> None:
    for address in ("/models/m/2", "/models/m/2/card"):
        page = words_of(main_of(client, address))
        assert "live on churn, 67 labels" in page, address
        assert "live on rolls, 150 labels" in page, address
    row = main_of(client, "/models/m").split('data-key="m/2"')[1].partition("</tr>")[0]
    live = words_of(row.partition('data-name="live roc_auc"')[2].partition("</td>")[0])
    assert "churn" in live
    assert "rolls" in live
    compared = words_of(main_of(client, "/models/m/compare?versions=1,2"))
    assert "roc_auc on rolls" in compared
    assert "roc_auc on churn" in compared


def test_live_numbers_are_told_of_a_version_that_has_none_offline(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    world.version(1)
    world.version(2, roc_auc=0.9, custom=3.0)
    world.policy()
    world.deploy(1)
    world.traffic("stable", 400, quality=scored(400, 1.5))
    client = TestClient(build_server_app(world.project, ControllerLoop(world.project)))

    def numbers() -> str:
        main = main_of(client, "/models/m/1")
        return words_of(main.partition('id="numbers"')[2].partition("</section>")[0])

    assert re.search(r" roc_auc – 0\.\d+", numbers())
    assert re.search(
        r"\| roc_auc \| – \| 0\.\d+ \|", client.get("/models/m/1/card.md").text.replace("\\", "")
    )
    assert "roc_auc" in main_of(client, "/models/m")
    world.alias(2)
    told = numbers()
    assert re.search(r" roc_auc – 0\.\d+ 0\.900 –", told), told
    assert re.search(r" custom – – 3\.0+ –", told), "what the champion alone has"
    assert "without an offline number" not in told
    world.version(3, roc_auc=0.8)
    world.deploy(3)
    world.traffic("stable", 400, quality=scored(400, 1.5))
    first, _, rest = main_of(client, "/models/m/3").partition('id="numbers"')[2].partition("<details")
    assert (">roc_auc<" in first, ">brier<" in first, ">brier<" in rest) == (True, False, True)
    world.project.close()


def test_a_version_that_answers_elsewhere_though_it_was_rolled_back_says_so(client: TestClient) -> None:
    page = main_of(client, "/models/m/2")
    head = words_of(page.partition('<div class="page-head">')[2].partition("</div>")[0])
    assert "↩ rolled back" in head
    assert "◐ canary 5 %" in head
    assert "answers 5 % of other all the same" in words_of(page)
    assert "answers 5 % of other all the same" in words_of(main_of(client, "/models/m/2/card"))
    row = words_of(main_of(client, "/models/m").split('data-key="m/2"')[1].partition("</tr>")[0])
    assert "↩ rolled back" in row
