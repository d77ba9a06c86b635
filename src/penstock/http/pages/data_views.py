"""The pages of tracked data: what there is, what git's commits made of it, what differs, and where it was used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from penstock.base.errors import NotARepository, NotFound, PenstockError
from penstock.base.numbers import counted
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.flows.observing.contents import compare_contents
from penstock.flows.tracked.catalogue import Catalogue, Tracked, read_catalogue
from penstock.flows.tracked.comparing import compare_revisions
from penstock.flows.tracked.timeline import Change
from penstock.http.pages.drawing.distributions import draw_distribution
from penstock.http.pages.drawing.histories import history_chart
from penstock.http.pages.queries import query_of, refusal
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.formatting import size_unit
from penstock.monitoring.reporting.changes import TableReport
from penstock.project.project import Project
from penstock.registry.versions import list_uses_of_input
from penstock.serving.deployments import list_endpoints
from penstock.tracking.uses import count_runs_by_input, list_uses

FILES = 200
USES = 2_000
FEATURES = 60
SHOWN_CHANGES = 100
COMPARISONS = 8
"""So many comparisons of commits are kept: each costs a tenth of a second, and what commits hold does not change."""
NAMED = 3
"""So many model versions are named in a sentence, those that are live first."""


class DataPages:
    """Shows what is tracked, and its history."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer
        self._kept: dict[tuple[str, str, str], dict[str, Any]] = {}

    def data(self, _request: Request) -> Response:
        """Everything tracked, with its size, its newest change and who used it."""
        catalogue = Catalogue()
        problem = ""
        try:
            with opened(self._project) as repo:
                catalogue = read_catalogue(repo)
        except NotARepository:
            pass
        except PenstockError as error:
            problem = error.message
        with self._project.database.read() as connection:
            used = count_runs_by_input(connection)
        return self._renderer.page("data.html", catalogue=catalogue, used=used, problem=problem)

    def path(self, request: Request) -> Response:
        """One tracked path: its history, what used each content, and two contents compared (`?old=COMMIT&new=COMMIT`)."""
        path, query = request.path_params["path"], query_of(request)
        with opened(self._project) as repo:
            catalogue = read_catalogue(repo)
            found = next((one for one in catalogue.tracked if one.path == path), None)
            if found is None:
                cut = catalogue.history.cut
                before = f"whether it was before is unknown: {cut}" if cut else "never was in git's history"
                raise NotFound(
                    f"{path[:200]} is not tracked, and {before}",
                    code="data.not_tracked",
                    hint="penstock list . --dvc-only -R",
                )
            with self._project.database.read() as connection:
                uses = list_uses(connection, path)
                versions = list_uses_of_input(connection, path, USES)
                live = {f"{one.model}/{one.stable}" for one in list_endpoints(connection)}
            compared = self._compared(repo, found, query["old"], query["new"])
        by_digest: dict[str, list[str]] = {}
        for use in reversed(uses):
            by_digest.setdefault(use.digest.removeprefix("md5:"), []).append(use.run_id)
        versions = sorted(versions, key=lambda one: one[0] not in live)
        made: dict[str, list[str]] = {}
        for ref, digest in reversed(versions):
            made.setdefault(digest.removeprefix("md5:"), []).append(ref)
        sizes = [
            (one.commit.time_ms // 1000, one.info.size)
            for one in reversed(found.changes)
            if one.info and one.info.size is not None
        ]
        unit, bytes_each = size_unit(max((count for _, count in sizes), default=0))
        return self._renderer.page(
            "tracked.html",
            found=found,
            changes=found.changes[:SHOWN_CHANGES],
            answer=answer_of(found, len({one.run_id for one in uses}), [ref for ref, _ in versions]),
            chart=history_chart(
                "Size", [(when, count / bytes_each) for when, count in sizes], unit, is_time=True
            ),
            runs=by_digest,
            versions=made,
            **compared,
        )

    def _compared(self, repo: DataRepository, found: Tracked, old: str, new: str) -> dict[str, Any]:
        if not (old or new):
            return {"compared": None}
        changes = {one.commit.id: one for one in found.changes}
        which = (
            "is none of the known commits that changed it"
            if found.history.cut
            else "is no commit that changed it"
        )
        sides = [_side(changes, name, text, which) for name, text in (("old", old), ("new", new))]
        asked = (found.path, sides[0].commit.id, sides[1].commit.id)
        told = self._kept.pop(asked, None) if _is_at_hand(repo, sides) else None
        told = told or _compare(repo, found.path, sides)
        if told["is_whole"]:
            self._kept[asked] = told
            for least in list(self._kept)[:-COMPARISONS]:
                self._kept.pop(least, None)
        return {"compared": sides, **told}


@contextmanager
def opened(project: Project) -> Iterator[DataRepository]:
    """Open the data repository as it is now: a server's own would know only the pointers that were there before.

    Raises:
        NotARepository: the server runs outside one.
    """
    repo = DataRepository.open(project.root, cache_dir=project.places.cache_dir)
    try:
        yield repo
    finally:
        repo.close()


def _compare(repo: DataRepository, path: str, sides: Sequence[Change]) -> dict[str, Any]:
    """Return what differs between two commits, which stays so; not `is_whole` where a content is not at hand now."""
    rows = list(_rows(repo, compare_revisions(repo, sides[0].commit.id, sides[1].commit.id, targets=(path,))))
    before, after = sides[0].info, sides[1].info
    reports: dict[str, TableReport] | str = ""
    if before is not None and after is not None and before.md5 != after.md5:
        names = (sides[0].commit.id[:8], sides[1].commit.id[:8])
        reports = compare_contents(repo, path, before, after, names)
    tables = {} if isinstance(reports, str) else reports
    return {
        "rows": rows[:FILES],
        "row_count": len(rows),
        "tables": {
            name: (report, [(one, draw_distribution(one)) for one in report.features[:FEATURES]])
            for name, report in tables.items()
        },
        "no_report": reports if isinstance(reports, str) else "",
        "is_whole": not isinstance(reports, str),
    }


def _is_at_hand(repo: DataRepository, sides: Sequence[Change]) -> bool:
    return all(one.info is None or repo.cache.find(one.info) is not None for one in sides)


def _side(changes: Mapping[str, Change], name: str, text: str, which: str) -> Change:
    named = [one for commit, one in changes.items() if len(text) >= 4 and commit.startswith(text)]
    if len(named) != 1:
        why = f"{which}: {text!r}" if text else "is missing: two commits are compared"
        raise refusal(name, why, "choose two of the table")
    return named[0]


def _rows(
    repo: DataRepository, differing: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, int | None, int | None]]:
    """Yield what happened to each file, its name, what it was called before, and its sizes."""
    for word in ("added", "modified", "deleted", "renamed"):
        for one in differing.get(word, ()):
            path, digests = one["path"], one["hash"]
            names = (path["old"], path["new"]) if isinstance(path, dict) else (path, path)
            if names[1].endswith("/"):
                continue
            old = digests["old"] if isinstance(digests, dict) else None if word == "added" else digests
            new = digests["new"] if isinstance(digests, dict) else None if word == "deleted" else digests
            before = names[0] if names[0] != names[1] else ""
            yield word, names[1], before, _size(repo, old), _size(repo, new)


def _size(repo: DataRepository, md5: str | None) -> int | None:
    place = repo.cache.find(HashInfo(md5)) if md5 else None
    if place is None:
        return None
    return (repo.root / place).stat().st_size


def answer_of(found: Tracked, run_count: int, versions: list[str]) -> str:
    """Return in a sentence what a path holds, who changed it last, and what was made of it."""
    newest = found.changes[0] if found.changes else None
    if found.info is None:
        never = "It is not computed" if found.history.cut else "It was never computed"
        told = [f"It is tracked no more since {newest.commit.id[:8]}" if newest else never]
    else:
        files = f" of {counted(found.info.nfiles, 'file')}" if found.info.nfiles is not None else ""
        count = found.version_count
        many = (
            f"at least {counted(max(count, 1), 'version')}"
            if found.history.cut
            else f"{counted(count, 'version')} so far"
        )
        kind = "directory" if found.info.is_tree else "file"
        told = [f"It is a {kind}{files}, in {many}"]
        if not found.is_committed:
            told.append("what it holds now is not committed")
    if run_count or not found.is_made:
        used = f"{counted(run_count, 'run')} used it" if run_count else "No run used it yet"
    else:
        used = f"It is made by {found.source}, and runs record the data that they begin from"
    more = f" and {len(versions) - NAMED} more" if len(versions) > NAMED else ""
    made = f", and {', '.join(versions[:NAMED])}{more} came of it" if versions else ""
    before = f" What was before is unknown: {found.history.cut}." if found.history.cut else ""
    return f"{'; '.join(told)}.{before} {used}{made}."
