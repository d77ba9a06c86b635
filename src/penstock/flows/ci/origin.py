"""Where the running Penstock came from, as the requirement by which another machine gets the same; never by its bare name
where no index gave it: whoever has that name on an index would be given what a job's secrets open.

**Source**: PEP 610 (`direct_url.json`), which has no entry for what an index gave.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from penstock import __version__
from penstock.base.errors import Refused
from penstock.base.git import Git

UNREACHABLE = "ci.unreachable_penstock"
REACHABLE = frozenset({"https", "http", "ssh", "git"})
"""Schemes of addresses that another machine can ask."""
MARK = "git+https://REPLACE-THIS.invalid/penstock.git"
"""Stands where a person has to say how a machine gets Penstock: an address that is none (RFC 2606)."""
EXAMPLE = "python -m pip install 'penstock[all] @ git+https://…'"


def penstock_requirement(root: Path, git_root: Path | None, *, is_self_hosted: bool = False) -> str:
    """Return what pip is told to install, so that a clone of the repository gets the Penstock that runs here.

    From an index: its version. From an address: that, of git at the commit that was installed. From a file or directory: the
    path from `root`, where git has it.

    Args:
        root: the project's directory, in which the commands of an installation run.
        is_self_hosted: the machine sees the directories of this one.

    Raises:
        Refused: it came from a place that another machine does not see.
    """
    came_from = _came_from()
    if came_from is None:
        raise _unreachable(str(Path(__file__).parents[2]))
    if not came_from:
        return f"penstock[all]=={__version__}"
    url = str(came_from.get("url", ""))
    version_control = came_from.get("vcs_info") or {}
    if urlsplit(url).scheme in REACHABLE:
        return f"penstock[all] @ {_pinned(url, came_from)}"
    place = Path(unquote(urlsplit(url).path))
    if not version_control and git_root is not None and _is_tracked(git_root, place):
        return f"./{os.path.relpath(place.resolve(), root.resolve())}[all]"
    if is_self_hosted and urlsplit(url).scheme == "file":
        return f"penstock[all] @ {_pinned(url, came_from)}"
    raise _unreachable(str(place))


def _came_from() -> Mapping[str, Any] | None:
    """Return what the installer noted; nothing for what an index gave, None where Penstock is not installed at all."""
    try:
        text = metadata.distribution("penstock").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def _pinned(url: str, came_from: Mapping[str, Any]) -> str:
    version_control = came_from.get("vcs_info") or {}
    folder = f"#subdirectory={came_from['subdirectory']}" if came_from.get("subdirectory") else ""
    if commit := version_control.get("commit_id"):
        return f"{version_control.get('vcs', 'git')}+{url}@{commit}{folder}"
    return f"{url}{folder}"


def _is_tracked(git_root: Path, place: Path) -> bool:
    """Say whether git has a file, or something of a directory, so that a clone has it too."""
    place, top = place.resolve(), git_root.resolve()
    if not place.is_relative_to(top):
        return False
    return bool(Git(top).run("ls-files", "--", f":(literal){place.relative_to(top)}", check=False))


def _unreachable(place: str) -> Refused:
    return Refused(
        f"Penstock runs here from {place}, which another machine does not see; asked for by name, a package index would "
        "give it what somebody else calls penstock, and with it the job's secrets",
        code=UNREACHABLE,
        hint=f"say in `ci: {{install: …}}` of penstock.yaml how a machine gets it, such as {EXAMPLE}; or commit its wheel, and "
        "install that here",
        place=place,
    )
