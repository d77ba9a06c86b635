"""Templates to answers: one Jinja environment with autoescape, and the words of `formatting` and `states`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from starlette.requests import Request
from starlette.responses import HTMLResponse

from penstock.base.clock import format_ms, iso_ms, now_ms
from penstock.base.numbers import counted
from penstock.http.caller import ANYBODY, current_caller
from penstock.http.pages.telling import formatting as told
from penstock.http.pages.telling import fragments
from penstock.http.pages.telling.conditions import because, best_known
from penstock.http.pages.telling.markdown import markdown
from penstock.http.pages.telling.measures import version_numbers
from penstock.http.pages.telling.states import plain_words, state, tone
from penstock.stats.metric_names import METRICS

HERE = Path(__file__).parents[1]
STATIC = HERE / "static"


class Compiled(BytecodeCache):
    """Templates as they were compiled by any renderer of this process: an application has several, all alike.

    A code object never changes, and which one a second thread finds or compiles does not matter.
    """

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give a bucket the code of the same template with the same text, if there is one."""
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a bucket's code."""
        self._codes[bucket.key, bucket.checksum] = bucket.code


COMPILED = Compiled()


class Renderer:
    """Renders templates for one project. Thread-safe. `base` is what every address of ours begins with.

    What a template prints is escaped, and what nobody can see in it is named (`formatting.visible`).
    """

    def __init__(self, project_name: str, base: str = "") -> None:
        self.base = base
        self._environment = _environment(project_name, base)

    def address_of(self, request: Request) -> str:
        """Return where this server is, as whoever asked knows it, without a slash at its end."""
        return f"{request.url.scheme}://{request.url.netloc}{self.base}"

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a template as an answer that is not cached."""
        text = self._environment.get_template(template).render(
            rendered_ms=now_ms(), caller=current_caller.get(ANYBODY), **values
        )
        return HTMLResponse(text, status, {"Cache-Control": "no-store"})


def _environment(project_name: str, base: str) -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=told.visible,
        bytecode_cache=COMPILED,
    )
    made.filters |= {
        "ago": told.ago,
        "because": because,
        "best_known": best_known,
        "briefly": told.briefly,
        "called": told.called,
        "column": told.column,
        "counted": counted,
        "cut": told.cut,
        "iso": iso_ms,
        "markdown": markdown,
        "milliseconds": told.milliseconds,
        "naturally": told.naturally,
        "number": told.number,
        "path": told.path,
        "percent": told.percent,
        "plain_words": plain_words,
        "quoted": shlex.quote,
        "scalar": told.scalar,
        "seconds": told.seconds,
        "segment": told.segment,
        "sentence": told.sentence,
        "short_id": told.short_id,
        "size": told.size,
        "state": state,
        "tone": tone,
        "verbatim": told.Verbatim,
        "when": format_ms,
    }
    made.tests |= {
        "in_params": lambda name: name.startswith("params."),
        "judgeable": METRICS.__contains__,
    }
    made.globals["fragments"] = fragments
    made.globals["version_numbers"] = version_numbers
    made.globals["project_name"] = project_name
    made.globals["base"] = base
    return made
