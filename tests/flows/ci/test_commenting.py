"""A report is one comment of a pull or merge request, on servers that answer as GitHub and GitLab are documented to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.base.errors import Denied, Invalid, NotFound, Unavailable
from penstock.flows.ci.commenting import MARK, MOST_CHARS, comment, find_discussion
from servers.forking import run_penstock

NOTES = "/api/v4/projects/7/merge_requests/3/notes"
ISSUE = "/repos/o/r/issues/5/comments"


class Server:
    """Comments by place; `status` is answered instead where it is set."""

    def __init__(self) -> None:
        self.comments: dict[str, list[dict[str, Any]]] = {ISSUE: [], NOTES: []}
        self.pulls: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str | None] = set()
        self.status = 0
        self.kind = "Bot"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path))
                outer.tokens.add(self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN"))
                status, document = outer.act(self.command, self.path, body)
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = answer  # noqa: N815 - names of http.server

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def act(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        if self.status:
            return self.status, {"message": "no"}
        if parts.path == "/repos/o/r/pulls":
            return 200, [one for one in self.pulls if one["head"]["label"] == query["head"][0]]
        if parts.path in self.comments:
            there = self.comments[parts.path]
            if method == "POST":
                there.append({"id": len(there) + 1, "user": {"type": self.kind}, **json.loads(body)})
                return 201, there[-1]
            first = (int(query["page"][0]) - 1) * int(query["per_page"][0])
            return 200, there[first : first + int(query["per_page"][0])]
        number = int(parts.path.rpartition("/")[2])
        there = self.comments[NOTES if parts.path.startswith(f"{NOTES}/") else ISSUE]
        one = next(one for one in there if one["id"] == number)
        one.update(json.loads(body))
        return 200, one

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def github(server: Server, **more: str) -> dict[str, str]:
    return {"GITHUB_REPOSITORY": "o/r", "GITHUB_TOKEN": "t", "GITHUB_API_URL": server.url, **more}


PULL = json.dumps({"pull_request": {"number": 5}}).encode()


def test_a_report_is_one_comment_that_later_runs_bring_up_to_date(server: Server) -> None:
    gitlab = {
        "CI_API_V4_URL": f"{server.url}/api/v4",
        "CI_MERGE_REQUEST_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_IID": "3",
        "PENSTOCK_GITLAB_TOKEN": "t",
    }
    for variables, event, place in ((github(server), PULL, ISSUE), (gitlab, None, NOTES)):
        there = server.comments[place]
        there += [{"id": number, "user": {"type": "User"}, "body": "hello"} for number in range(1, 131)]
        there[7]["body"] = f"{MARK} I am a person" if place == ISSUE else "hello"
        discussion = find_discussion(variables, event)
        assert comment(discussion, "first ☃") is True
        assert comment(discussion, "second") is False
        assert [one["body"] for one in there if one["body"].startswith(f"{MARK}\n")] == [f"{MARK}\nsecond"]
        assert len(there) == 131
        assert comment(discussion, "x" * (MOST_CHARS + 1)) is False
        assert MOST_CHARS < len(there[-1]["body"]) < 65_536
        assert there[-1]["body"].endswith("an artifact of the run.\n")
    assert server.tokens == {"Bearer t", "t"}


def test_a_forks_report_goes_to_the_request_whose_head_its_run_was_about(server: Server) -> None:
    head = {"label": "ada:topic", "sha": "b" * 40}
    server.pulls = [{"number": 4, "head": {**head, "sha": "a" * 40}}, {"number": 5, "head": head}]
    run = {"head_repository": {"owner": {"login": "ada"}}, "head_branch": "topic", "head_sha": "b" * 40}
    event = json.dumps({"workflow_run": run}).encode()
    assert comment(find_discussion(github(server), event), "report") is True
    assert server.comments[ISSUE][0]["body"] == f"{MARK}\nreport"
    closed = json.dumps({"workflow_run": {**run, "head_sha": "c" * 40}}).encode()
    with pytest.raises(NotFound, match="no open pull"):
        find_discussion(github(server), closed)


def test_what_stands_in_the_way_is_told(server: Server) -> None:
    discussion = find_discussion(github(server), PULL)
    for status, error in ((403, Denied), (401, Denied), (404, NotFound), (500, Unavailable)):
        server.status = status
        with pytest.raises(error):
            comment(discussion, "report")
    for variables, event, kind in (
        ({}, None, Invalid),
        ({"GITHUB_REPOSITORY": "o/r"}, PULL, Invalid),
        (github(server), b'{"ref": "main"}', NotFound),
        (github(server), b"[]", Unavailable),
        (github(server), b'{"workflow_run": {}}', Unavailable),
        ({"CI_API_V4_URL": server.url}, None, Invalid),
        ({"CI_API_V4_URL": server.url, "PENSTOCK_GITLAB_TOKEN": "t"}, None, NotFound),
    ):
        with pytest.raises(kind):
            find_discussion(variables, event)


def test_the_command_needs_no_repository(server: Server, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_bytes(b"all well \xff")
    (tmp_path / "event.json").write_bytes(PULL)
    variables = github(server, GITHUB_EVENT_PATH=str(tmp_path / "event.json"))
    for said in ("Commented.", "up to date"):
        done = run_penstock(tmp_path, "ci", "comment", "report.md", **variables)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    assert server.comments[ISSUE][0]["body"] == f"{MARK}\nall well \ufffd"
    server.status = 403
    refused = run_penstock(tmp_path, "ci", "comment", "report.md", **variables)
    assert refused.returncode != 0
    assert "never for a fork" in refused.stderr
