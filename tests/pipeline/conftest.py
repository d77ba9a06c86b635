"""A repository with a pipeline and nothing recorded about it, for tests of what runs and what is locked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from penstock.base.git import Git
from penstock.data.repository import DataRepository
from penstock.data.verbs.creation import init_repository
from penstock.flows.pipelines.status import pipeline_status
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.runner import reproduce
from penstock.pipeline.running.reproducing import ReproduceOptions, StageResult
from penstock.pipeline.stage import Stage


@dataclass
class Line:
    """A repository and what a test does with its pipeline; `ran` are the stages whose commands ran."""

    repo: DataRepository
    git: Git
    ran: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The repository's directory."""
        return self.repo.root

    def put(self, **files: str) -> None:
        """Write files; `_` in a name stands for a dot."""
        for name, text in files.items():
            (self.root / name.replace("_", ".")).write_text(text)

    def read(self, name: str) -> str:
        """Return a file's text."""
        return (self.root / name).read_text()

    def repro(self, **options: Any) -> dict[str, str]:
        """Reproduce and return what became of each step."""
        done = reproduce(self.repo, load_all_stages(self.repo), ReproduceOptions(**options), self)
        return {item.stage: item.action for item in done}

    def status(self) -> dict[str, list[Any]]:
        """Return what changed by stage."""
        return pipeline_status(self.repo, (), self.root)[0]

    def started(self, stage: Stage, reasons: Sequence[str]) -> None:
        """Note a stage."""
        self.ran.append(stage.address)

    def printed(self, stage: Stage, line: str) -> None:
        """Say nothing."""

    def retried(self, stage: Stage, why: str, left: int) -> None:
        """Say nothing."""

    def finished(self, result: StageResult) -> None:
        """Say nothing."""


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """An empty repository of git and penstock."""
    root = tmp_path / "line"
    root.mkdir()
    git = Git(root)
    git.run("init", "--quiet")
    init_repository(root)
    repo = DataRepository.open(root)
    yield Line(repo, git)
    repo.close()
