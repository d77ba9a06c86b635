"""No file that another machine runs asks an index for the bare name of a Penstock that no index gave."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from installed import INDEX, install_from
from penstock import __version__
from penstock.base.errors import Refused
from penstock.cli.main import cli
from penstock.flows.ci import origin
from penstock.flows.ci.files import installation_of, plan_ci_file
from penstock.flows.ci.linting import lint
from penstock.flows.ci.manifests import plan_manifests
from penstock.flows.ci.origin import MARK, penstock_requirement
from penstock.workspace import open_workspace
from projects import Sample

NAMED = f"penstock[all]=={__version__}"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WHEEL = f"wheels/penstock-{__version__}-py3-none-any.whl"
GIT = {"vcs": "git", "commit_id": COMMIT}
SYSTEMS = ("github", "github-forks", "gitlab", "jenkins", "kubeflow")


def from_url(url: str, **more: Any) -> dict[str, Any]:
    return {"url": url, **more}


def files(sample: Sample) -> list[Path]:
    return [
        path
        for path in sample.root.rglob("*")
        if path.suffix in {".yml", ".yaml"} or path.name == "Jenkinsfile"
    ]


def test_what_no_index_gave_is_asked_of_none_in_any_file(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory, a wheel, and git on this machine: refused for every system, for a container's image, and told by `ci lint`."""
    config = sample.root / ".dvc/config"
    config.write_text("[core]\n    remote = r\n['remote \"r\"']\n    url = s3://b/p\n")
    before = sorted(files(sample))
    for number, came_from in enumerate(
        (
            from_url(f"file://{tmp_path}", dir_info={"editable": True}),
            from_url(f"file://{tmp_path}/penstock-1.whl", archive_info={}),
            from_url(f"file://{tmp_path}/penstock.git", vcs_info=GIT),
            from_url(f"file://{sample.root}/dist/penstock-1.whl", archive_info={}),  # there, and not in git
        )
    ):
        install_from(monkeypatch, tmp_path / f"{number}", came_from)
        for system in SYSTEMS:
            refused = CliRunner().invoke(cli, ["-C", str(sample.root), "ci", "init", system]).exception
            assert isinstance(refused, Refused), system
            assert refused.code == "ci.unreachable_penstock" and "job's secrets" in refused.message
            assert "ci: {install: …}" in str(refused.hint) and "--dry-run shows" in str(refused.hint)
            shown = CliRunner().invoke(cli, ["-C", str(sample.root), "ci", "init", system, "--dry-run"])
            assert shown.exit_code == 0 and f" @ {MARK}" in shown.stdout, system
            assert f"note: replace {MARK}: Penstock runs here from" in shown.stderr
            assert NAMED not in shown.stdout and "install penstock" not in shown.stdout
        with closing(open_workspace(sample.root)) as project, pytest.raises(Refused, match="does not see"):
            plan_manifests(project, "delay", "k8s", tmp_path / "manifests")
        assert sorted(files(sample)) == before
    (sample.root / ".gitlab-ci.yml").write_text(f"penstock: {{script: [pip install {NAMED}]}}\n")
    with closing(open_workspace(sample.root)) as project:
        found = {check.part: check for check in lint(project)}
    assert (found["file"].state, "does not see" in found["file"].sentence) == ("broken", True)


def test_what_another_machine_sees_is_installed_from_where_it_came(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample.write("wheels.txt", "")
    wheel = sample.root / WHEEL
    wheel.parent.mkdir()
    wheel.touch()
    (sample.root / "vendor").mkdir()
    (sample.root / "vendor/pyproject.toml").write_text("[project]\nname = 'penstock'\n")
    sample.commit("Keep Penstock here")
    for number, (came_from, requirement, is_commented) in enumerate(
        (
            (INDEX, NAMED, True),
            (from_url("https://example.org/p.git", vcs_info=GIT), f"penstock[all] @ git+https://example.org/p.git@{COMMIT}", True),
            (
                from_url("ssh://git@example.org/p.git", vcs_info=GIT, subdirectory="python"),
                f"penstock[all] @ git+ssh://git@example.org/p.git@{COMMIT}#subdirectory=python",
                True,
            ),
            (from_url("https://example.org/penstock-1.whl", archive_info={}), "penstock[all] @ https://example.org/penstock-1.whl", True),
            (from_url(f"file://{wheel}", archive_info={}), f"./{WHEEL}[all]", False),
            (from_url(f"file://{sample.root}/vendor", dir_info={}), "./vendor[all]", False),
        )
    ):  # fmt: skip
        install_from(monkeypatch, tmp_path / f"{number}", came_from)
        command = f"python -m pip install '{requirement}'"
        with closing(open_workspace(sample.root)) as project:
            assert installation_of(project).commands[-1] == command
            for system in ("github", "gitlab", "jenkins"):
                plan = plan_ci_file(project, system)
                assert command in plan.text.replace("\\'", "'"), system
                said = system != "jenkins" and "is left out" in " ".join(plan.notes)
                assert ("ci comment" in plan.text, said) == (
                    is_commented and system != "jenkins", not is_commented and system != "jenkins"
                ), system  # fmt: skip
            if is_commented:
                assert "penstock ci comment" in plan_ci_file(project, "github-forks").text
                assert installation_of(project).program == command.replace("[all]", "")
            else:
                with pytest.raises(Refused, match="is left out"):
                    plan_ci_file(project, "github-forks")


def test_a_runner_that_sees_this_machine_takes_it_from_here_and_ones_own_commands_count_first(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"file://{tmp_path}/penstock-1.whl"
    install_from(monkeypatch, tmp_path / "notes", from_url(place, archive_info={}))
    with closing(open_workspace(sample.root)) as project:
        plan = plan_ci_file(project, "github", is_self_hosted=True)
    assert f"python -m pip install 'penstock[all] @ {place}'" in plan.text
    assert "ci comment" not in plan.text
    settings = sample.root / "penstock.yaml"
    text = settings.read_text()
    given = "python -m pip install 'penstock[all] @ git+https://example.org/p@v1'"
    for install, is_given in ((given, True), ("make env", False)):
        settings.write_text(text + f'  install: "{install}"\n')
        with closing(open_workspace(sample.root)) as project:
            if is_given:
                assert given in plan_ci_file(project, "github").text
            else:
                with pytest.raises(Refused, match="does not see"):
                    plan_ci_file(project, "github")
    settings.write_text(text)

    monkeypatch.setattr(origin.metadata, "distribution", _not_installed)
    with pytest.raises(Refused, match="runs here from"):
        penstock_requirement(sample.root, sample.root, is_self_hosted=True)


def _not_installed(_name: str) -> None:
    raise origin.metadata.PackageNotFoundError
