"""Comment a report on the pull or merge request whose run made it: one comment, brought up to date by later runs.

Which request that is, is told by the CI system's variables; the report is a file, so that who comments needs neither the
repository nor its data.

Source: docs.github.com REST "Issue comments", "Pull requests"; docs.gitlab.com "Notes API", merge requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from penstock.base.errors import Denied, Invalid, NotFound, Unavailable
from penstock.base.web.calls import JSON, WebConnection
from penstock.ci.jobs import GITLAB_TOKEN

MARK = "<!-- penstock-report -->"
"""By which a comment is known again; it does not show."""
MOST_CHARS = 60_000
"""GitHub takes 65,536."""
PAGE = 100
MOST_PAGES = 50
TIMEOUT_S = 30.0
_MAY_NOT = (401, 403)
_GONE = 404


@dataclass(frozen=True)
class Discussion:
    """A request's comments on a server.

    Args:
        comments: where they are listed and made.
        one: where one of them is changed; its id is put after it.
        change: the method that changes one.
        author: the kind of a comment's author that may be us; empty where any.
    """

    server: str
    headers: Mapping[str, str]
    comments: str
    one: str
    change: str
    author: str = ""


def find_discussion(variables: Mapping[str, str], event: bytes | None) -> Discussion:
    """Return the comments of the request that a CI run is about.

    Args:
        variables: the environment of the job.
        event: what GitHub told the run, the content of `GITHUB_EVENT_PATH`.

    Raises:
        Invalid: this is no run of GitHub's or GitLab's, or one without a token.
        NotFound: the run is about no open request.
    """
    if variables.get("GITHUB_REPOSITORY"):
        return _github(variables, event)
    if variables.get("CI_API_V4_URL"):
        return _gitlab(variables)
    raise Invalid(
        "this is no run of GitHub Actions or GitLab CI: there is no request to comment on",
        code="ci.no_request",
        hint="penstock ci report prints the report",
    )


def comment(discussion: Discussion, report: str) -> bool:
    """Put the report into the discussion's one comment of ours and say whether it is new.

    Raises:
        Denied: the token may not comment.
        Unavailable: the server does not answer, or not as it should.
    """
    connection = WebConnection(discussion.server, timeout_s=TIMEOUT_S)
    try:
        body = json.dumps({"body": _body(report)}).encode()
        for known in _list(connection, discussion):
            if known["body"].startswith(MARK) and discussion.author in ("", known["user"]["type"]):
                _ask(connection, discussion.change, f"{discussion.one}/{int(known['id'])}", discussion, body)
                return False
        _ask(connection, "POST", discussion.comments, discussion, body)
        return True
    except (KeyError, TypeError, AttributeError) as error:
        raise _odd(f"{type(error).__name__}: {error}") from None
    finally:
        connection.close()


def _body(report: str) -> str:
    text = report
    if len(report) > MOST_CHARS:
        text = f"{report[:MOST_CHARS]}\n\n…\n\nThe whole report is an artifact of the run.\n"
    return f"{MARK}\n{text}"


def _github(variables: Mapping[str, str], event: bytes | None) -> Discussion:
    token = variables.get("GITHUB_TOKEN") or variables.get("GH_TOKEN")
    if not token:
        raise _no_token("GITHUB_TOKEN", "env: {GITHUB_TOKEN: ${{ github.token }}}")
    server = variables.get("GITHUB_API_URL") or "https://api.github.com"
    repository = quote(variables["GITHUB_REPOSITORY"])
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "User-Agent": "penstock",
    }
    try:
        told = json.loads(event or b"{}")
        number = (
            _of_fork(server, repository, headers, told["workflow_run"])
            if "workflow_run" in told
            else told.get("pull_request", {}).get("number")
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _odd("what GitHub told the run of its event") from None
    if not isinstance(number, int):
        raise _no_request()
    issues = f"/repos/{repository}/issues"
    return Discussion(server, headers, f"{issues}/{number}/comments", f"{issues}/comments", "PATCH", "Bot")


def _of_fork(server: str, repository: str, headers: Mapping[str, str], run: dict[str, Any]) -> int | None:
    """Return the open pull request whose head another run was about: the server's word, not that of the fork's run."""
    head = f"{run['head_repository']['owner']['login']}:{run['head_branch']}"
    connection = WebConnection(server, timeout_s=TIMEOUT_S)
    try:
        place = Discussion(server, headers, "", "", "")
        path = f"/repos/{repository}/pulls?state=open&per_page={PAGE}&head={quote(head, safe='')}"
        for pull in _ask(connection, "GET", path, place):
            if pull["head"]["sha"] == run["head_sha"]:
                return int(pull["number"])
    finally:
        connection.close()
    return None


def _gitlab(variables: Mapping[str, str]) -> Discussion:
    token = variables.get(GITLAB_TOKEN)
    if not token:
        raise _no_token(
            GITLAB_TOKEN, "a project access token, Reporter, scope api; masked, in Settings > CI/CD"
        )
    project, number = variables.get("CI_MERGE_REQUEST_PROJECT_ID"), variables.get("CI_MERGE_REQUEST_IID")
    if not (project and number and project.isdecimal() and number.isdecimal()):
        raise _no_request()
    notes = f"/projects/{project}/merge_requests/{number}/notes"
    return Discussion(variables["CI_API_V4_URL"], {"PRIVATE-TOKEN": token}, notes, notes, "PUT")


def _list(connection: WebConnection, discussion: Discussion) -> Iterator[dict[str, Any]]:
    for page in range(1, MOST_PAGES + 1):
        path = f"{discussion.comments}?per_page={PAGE}&page={page}"
        found = _ask(connection, "GET", path, discussion)
        yield from found
        if len(found) < PAGE:
            return


def _ask(
    connection: WebConnection, method: str, path: str, discussion: Discussion, body: bytes | None = None
) -> Any:
    reply = connection.request(method, path, body, {**discussion.headers, **(JSON if body else {})})
    if reply.status in _MAY_NOT:
        raise Denied(
            f"the server lets nobody comment with this token ({reply.status})",
            code="ci.may_not_comment",
            hint="GitHub: permissions: {pull-requests: write}, and never for a fork; GitLab: a token with scope api",
        )
    if reply.status == _GONE:
        raise _no_request()
    if reply.has_failed:
        raise _odd(f"status {reply.status}")
    try:
        return reply.json()
    except ValueError:
        raise _odd("no JSON") from None


def _no_request() -> NotFound:
    return NotFound(
        "this run is about no open pull or merge request that the token sees",
        code="ci.no_request",
        hint="comment in jobs of pull and merge requests only, as `penstock ci init` writes them",
    )


def _no_token(name: str, how: str) -> Invalid:
    return Invalid(f"{name} is not set: who comments must have a token", code="ci.no_token", hint=how)


def _odd(what: str) -> Unavailable:
    return Unavailable(
        f"the CI system's server answered what was not expected: {what}",
        code="ci.odd_answer",
        hint="run the job again",
    )
