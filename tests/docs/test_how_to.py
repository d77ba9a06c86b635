"""Every how-to, done: its commands run as they stand, in a small project, and print what the page says.

What is a place elsewhere on a page (a database's address, a folder of a server) is one of this machine here.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages import Reader
from projects import Sample
from servers.postgres import PostgresServer
from servers.programs import missing

PAGES = Path(__file__).parents[2] / "docs/how-to"
ELSEWHERE = {"bring-your-own-project.md": "has a project, and a test, of its own"}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample project with a model that is version 1 and champion, committed."""
    return Sample.make(tmp_path_factory.mktemp("released") / "project", "released").root


@pytest.fixture
def reader(released: Path, tmp_path: Path) -> Iterator[Reader]:
    """Ada, in her copy of the project."""
    project = shutil.copytree(released, tmp_path / "project", symlinks=True)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    one = Reader(project, {"USER": "ada", "HOME": str(home)})
    with contextlib.closing(one):
        yield one


def follow(reader: Reader, name: str) -> None:
    reader.follow((PAGES / name).read_text(encoding="utf-8"))


def test_gates_are_set_as_the_page_says(reader: Reader) -> None:
    follow(reader, "set-gates.md")


@pytest.mark.usefixtures("published")
def test_a_commit_is_validated_as_the_page_says(reader: Reader) -> None:
    follow(reader, "run-in-ci.md")


@pytest.mark.usefixtures("published")
def test_models_are_served_as_the_page_says(reader: Reader) -> None:
    follow(reader, "serve-models.md")


def test_tables_are_scored_as_the_page_says(reader: Reader) -> None:
    follow(reader, "score-tables.md")


def test_payloads_are_kept_as_the_page_says(reader: Reader) -> None:
    follow(reader, "keep-payloads.md")


def test_production_is_watched_as_the_page_says(reader: Reader) -> None:
    follow(reader, "monitor.md")


def test_prometheus_watches_as_the_page_says(reader: Reader) -> None:
    for program in ("promtool", "amtool"):
        if shutil.which(program) is None:
            missing(program, "prometheus prometheus-alertmanager")
    follow(reader, "watch-with-prometheus.md")


def test_a_service_of_ones_own_is_watched_as_the_page_says(reader: Reader) -> None:
    follow(reader, "watch-your-own-service.md")


def test_a_project_is_backed_up_and_restored_as_the_page_says(reader: Reader) -> None:
    follow(reader, "back-up.md")


def test_a_store_is_upgraded_as_the_page_says(reader: Reader) -> None:
    follow(reader, "upgrade.md")


def test_two_hosts_share_postgresql_as_the_page_says(
    reader: Reader, postgres: PostgresServer, tmp_path: Path
) -> None:
    reader.replaced["postgresql://penstock@db.example.org/penstock"] = postgres.new_schema()
    reader.replaced["/srv/penstock-artifacts"] = str(tmp_path / "artifacts")
    follow(reader, "use-postgresql.md")


def test_users_are_managed_as_the_page_says(reader: Reader) -> None:
    follow(reader, "manage-users.md")


def test_results_are_compared_as_the_page_says(reader: Reader) -> None:
    params = reader.directory / "params.yaml"
    params.write_text(params.read_text().replace("strength: 1.0", "strength: 0.5"))
    reader.follow("```console\n$ penstock -q repro\n$ git commit -q -a -m Regularize\n```\n")
    follow(reader, "compare-results.md")


def test_stages_are_run_as_the_page_says(reader: Reader) -> None:
    follow(reader, "run-stages.md")


def test_experiments_are_run_as_the_page_says(reader: Reader) -> None:
    follow(reader, "run-experiments.md")


def test_runs_are_tracked_as_the_page_says(reader: Reader) -> None:
    follow(reader, "track-runs.md")


def test_remotes_are_used_as_the_page_says(reader: Reader) -> None:
    follow(reader, "use-remotes.md")


def test_every_page_is_followed_by_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    pages = {one.name for one in PAGES.glob("*.md")}
    assert [one for one in sorted(pages) if f'"{one}"' not in text] == []


def test_a_page_that_does_not_hold_is_noticed(reader: Reader) -> None:
    for page, why in (
        ("$ penstock model list\nlate/2 …", "no line is"),
        ("$ penstock promote late/7", "ended with"),
    ):
        with pytest.raises(AssertionError, match=why):
            reader.follow(f"```console\n{page}\n```\n")
