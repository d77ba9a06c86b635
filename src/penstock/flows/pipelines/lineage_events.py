"""Tell OpenLineage what a reproduction does, as it does it. It never fails a run: what was not delivered is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.pipeline.openlineage import Pipeline, pipeline_event, stage_event
from penstock.pipeline.running.reproducing import StageResult, Watcher
from penstock.pipeline.stage import Stage
from penstock.project.lineage_target import LineageTarget, check_target
from penstock.project.project import Project
from penstock.tracking.entities import Run

logger = logging.getLogger(__name__)
_DONE = {"ran", "restored", "pulled", "checked out", "stored", "recorded"}


class Telling:
    """Sends events to a server or a file; after the first failure it stays silent and says so."""

    def __init__(self, target: LineageTarget, root: Path) -> None:
        self._target, self._root = target, root
        self.problem: str | None = None
        """Why events were not delivered, or None."""

    def send(self, event: dict[str, Any]) -> None:
        """Deliver an event, or note why it was not."""
        if self.problem is not None:
            return
        try:
            check_target(self._target)
            if self._target.file is not None:
                self._append(self._root / self._target.file, event)
            if self._target.url is not None:
                self._post(self._target.url, event)
        except PenstockError as error:
            self.problem = error.message
        except OSError as error:
            self.problem = str(error)

    def _append(self, path: Path, event: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")

    def _post(self, url: str, event: dict[str, Any]) -> None:
        from penstock.base.web.calls import WebConnection

        connection = WebConnection(url, timeout_s=self._target.timeout_s)
        headers = {"Content-Type": "application/json"}
        if self._target.api_key:
            headers["Authorization"] = f"Bearer {self._target.api_key}"
        try:
            reply = connection.request(
                "POST", f"/{self._target.endpoint.lstrip('/')}", json.dumps(event).encode(), headers
            )
            if reply.has_failed:
                self.problem = f"the server answered {reply.status}"
        finally:
            connection.close()


@dataclass
class Told:
    """A watcher that tells OpenLineage too, of the run `begin` names."""

    telling: Telling
    pipeline: Pipeline
    inner: Watcher
    _open: dict[str, Stage] = field(default_factory=dict)

    def begin(self, run: Run) -> None:
        """Say that the run began."""
        self.telling.send(pipeline_event(self.pipeline, "START", now_ms(), inputs=run.inputs))

    def end(self, run: Run, problem: str | None) -> None:
        """Say how it ended; stages that were under way ended so too."""
        if problem is not None:
            for stage in self._open.values():
                self.telling.send(stage_event(self.pipeline, stage, "FAIL", now_ms(), problem=problem))
        kind = pipeline_event(
            self.pipeline,
            "COMPLETE" if problem is None else "FAIL",
            now_ms(),
            inputs=run.inputs,
            problem=problem or "",
        )
        self.telling.send(kind)
        if problem is not None and self.telling.problem is not None:
            logger.warning("OpenLineage's events were not delivered: %s", self.telling.problem)

    def started(self, stage: Stage, reasons: Sequence[str]) -> None:
        """Pass it on, and say that the stage began."""
        self.inner.started(stage, reasons)
        self._open[stage.address] = stage
        self.telling.send(stage_event(self.pipeline, stage, "START", now_ms()))

    def printed(self, stage: Stage, line: str) -> None:
        """Pass it on."""
        self.inner.printed(stage, line)

    def retried(self, stage: Stage, why: str, left: int) -> None:
        """Pass it on: to OpenLineage it is one run of the stage."""
        self.inner.retried(stage, why, left)

    def finished(self, result: StageResult) -> None:
        """Pass it on, and say how the stage that ran ended, with the digests of what it read and made."""
        self.inner.finished(result)
        stage = self._open.pop(result.stage, None)
        if stage is None:
            return
        if result.action in _DONE:
            event = stage_event(self.pipeline, stage, "COMPLETE", now_ms(), entry=result.entry)
        else:
            problem = "; ".join(result.reasons) or result.action
            event = stage_event(self.pipeline, stage, "FAIL", now_ms(), problem=problem)
        self.telling.send(event)


def watch_run(project: Project, run: Run, inner: Watcher) -> Told | None:
    """Return the watcher that tells OpenLineage of a run; None where events go nowhere."""
    target = lineage_target(project)
    if not target.is_set:
        return None
    pipeline = Pipeline(
        run_id=run.id,
        namespace=target.namespace or "penstock",
        project=project.readable_settings.project,
        commit=run.commit,
    )
    return Told(Telling(target, project.lasting_root), pipeline, inner)


def lineage_target(project: Project) -> LineageTarget:
    """Return where events go: what the environment says, else penstock.yaml."""
    target = project.places.lineage
    if not project.has_settings:
        return target
    settings = project.readable_settings.lineage
    if not target.is_set and not target.is_off:
        target = replace(target, url=settings.url, file=settings.file)
    return replace(target, namespace=target.namespace or settings.namespace)
