"""What a command's targets mean with `--glob`, `--recursive` and `--with-deps`: chosen outputs or parts of them.

Patterns are matched against what is tracked, so that they also find what is not in the workspace now.

Source: dvc/repo/stage.py, `StageLoad.collect_granular`, and dvc/utils/__init__.py, `glob_targets` (3.67).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import NotFound
from penstock.data.formats.output import Output
from penstock.data.repository import DataRepository
from penstock.flows.tracked.selection import Chosen, select
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.graph import upstream_of

MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Reach:
    """How far targets reach; relative ones start at `base`.

    `bring_trees` gets the lists of those directories that a pattern may reach into and the cache lacks.
    """

    base: Path
    recursive: bool = False
    use_glob: bool = False
    with_dependencies: bool = False
    bring_trees: Callable[[Sequence[Output]], None] | None = None


def widen(repo: DataRepository, targets: Sequence[str], reach: Reach) -> list[Chosen]:
    """Resolve targets with everything they reach. The result may be empty where `recursive` found nothing.

    Raises:
        NotFound: a target is not tracked, or a pattern matches nothing.
    """
    chosen: list[Chosen] = []
    for target in targets:
        if reach.use_glob and MAGIC.search(target):
            chosen += _matching(repo, target, reach)
        else:
            chosen += select(repo, [target], base=reach.base, recursive=reach.recursive)
    if reach.with_dependencies:
        chosen += _upstream(repo, chosen)
    return select(repo, chosen) if chosen else []


def _matching(repo: DataRepository, pattern: str, reach: Reach) -> list[Chosen]:
    full = os.path.relpath(os.path.normpath(reach.base / pattern), repo.root)
    expression = compile_pattern(full)
    fixed = _fixed_part(full)
    whole: list[Chosen] = []
    partly: list[Chosen] = []
    for one in select(repo):
        path = repo.relative(one.output.path)
        if expression.match(path) or (one.pointer and expression.match(repo.relative(one.pointer.path))):
            whole.append(one)
        elif one.output.hash is not None and one.output.hash.is_tree and _touches(path, fixed):
            partly.append(one)
    lacking = [one.output for one in partly if one.output.hash and repo.cache.find(one.output.hash) is None]
    if lacking and reach.bring_trees is not None:
        reach.bring_trees(lacking)
    for one in partly:
        inner = frozenset(_files_matching(repo, one.output, expression))
        if inner:
            whole.append(Chosen(one.output, inner, one.pointer))
    if not whole:
        raise NotFound(
            f"the pattern {pattern} matches nothing that is tracked",
            code="data.not_tracked",
            hint="penstock list . -R --dvc-only shows what is",
            target=pattern,
        )
    return whole


def _files_matching(repo: DataRepository, output: Output, expression: re.Pattern[str]) -> Iterator[str]:
    if output.hash is None or repo.cache.find(output.hash) is None:
        return
    head = repo.relative(output.path)
    for name in repo.cache.load_tree(output.hash):
        if expression.match(f"{head}/{name}"):
            yield name


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a shell pattern to an expression for a path that it names, or for what lies below one.

    `**` stands for any number of directories; a leading dot has to be written, as in a shell.

    Example:
        >>> bool(compile_pattern("data/*.csv").match("data/a.csv"))
        True
        >>> bool(compile_pattern("data/*.csv").match("data/sub/a.csv"))
        False
        >>> bool(compile_pattern("data/s*").match("data/sub/a.csv"))
        True
    """
    parts = pattern.split("/")
    text = ""
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part == "**":
            text += "(?:(?!\\.)[^/]+/)*" if not is_last else "(?:(?!\\.)[^/]+/)*(?!\\.)[^/]+"
            continue
        text += _segment(part) + ("" if is_last else "/")
    return re.compile(f"{text}(?:/.*)?\\Z", re.DOTALL)


def _segment(part: str) -> str:
    text = "(?!\\.)" if MAGIC.match(part) else ""
    at = 0
    while at < len(part):
        sign = part[at]
        end = part.find("]", at + 2) if sign == "[" else -1
        if sign == "*":
            text += "[^/]*"
        elif sign == "?":
            text += "[^/]"
        elif end > 0:
            inner = part[at + 1 : end].replace("\\", "\\\\")
            text += f"[^/{inner[1:]}]" if inner.startswith("!") else f"[{inner.replace('^', chr(92) + '^')}]"
            at = end
        else:
            text += re.escape(sign)
        at += 1
    return text


def _fixed_part(pattern: str) -> str:
    fixed = []
    for part in pattern.split("/"):
        if MAGIC.search(part):
            break
        fixed.append(part)
    return "/".join(fixed)


def _touches(path: str, fixed: str) -> bool:
    return not fixed or f"{path}/".startswith(f"{fixed}/") or fixed.startswith(f"{path}/")


def _upstream(repo: DataRepository, chosen: Iterable[Chosen]) -> list[Chosen]:
    """Return what the stages that made the chosen outputs depend on, directly or through other stages."""
    stages = load_all_stages(repo)
    needs = upstream_of(stages)
    addresses = {f"{stage.file}:{stage.name}": stage.address for stage in stages}
    pending = [addresses[one.output.source] for one in chosen if one.output.source in addresses]
    reached: set[str] = set()
    while pending:
        address = pending.pop()
        if address not in reached:
            reached.add(address)
            pending += needs[address]
    read = [repo.root / path for stage in stages if stage.address in reached for path in stage.reads]
    found = []
    for one in select(repo):
        place = one.output.path
        is_made = addresses.get(one.output.source) in reached
        if is_made or any(place.is_relative_to(path) or path.is_relative_to(place) for path in read):
            found.append(one)
    return found
