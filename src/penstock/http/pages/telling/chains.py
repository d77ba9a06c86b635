"""The chain of a subject in one sentence: what made it, what came of it, and what went wrong. Pure."""

from __future__ import annotations

from penstock.base.numbers import counted
from penstock.flows.chain.graph import NO_RECORD, ChainGraph, Node
from penstock.flows.chain.links import Explanation, Link

MOST_NAMED = 3


def sentence_of(chain: Explanation, graph: ChainGraph) -> str:
    """Return what a chain and its graph tell of the subject, what went wrong first."""
    kind = chain.kind
    kinds: dict[str, list[Node]] = {}
    for node in graph.nodes.values():
        kinds.setdefault(node.kind, []).append(node)
    versions, runs = kinds.get("model version", []), kinds.get("run", [])
    commits, data = kinds.get("commit", []), kinds.get("data", [])
    deployments = kinds.get("deployment", [])
    told = [one.said.rstrip(".") for one in kinds.get("rollback", []) if one.said][-2:]
    if kind in {"data", "output", "content"}:
        told += _told_of_contents(chain)
        told.append(f"{_names(versions)} came of it" if versions else "It made no version")
    elif kind in {"commit", "experiment"}:
        told += [one.text for one in chain.links[:1] if "lacking" in one.details]
        used = f"It went into {_count(len(runs), 'run')}" if runs else "No run was recorded at it"
        told.append(
            f"{used}, and {_names(versions)} came of it" if versions else f"{used}, and no version came of it"
        )
    elif versions:
        origin = f"run {_names(runs)}" if runs else ""
        if commits or data:
            parts = [f"commit {_names(commits)}"] if commits else []
            parts += [_names(data, by_label=True)] if data else []
            origin += f"{' from' if origin else 'from'} {' and '.join(parts)}"
        if kind == "run":
            told.append(f"It made {_names(versions)}{origin.removeprefix(f'run {_names(runs)}')}")
        elif kind == "model version":
            told.append(f"{_names(versions)} was made by {origin}" if origin else "Nobody knows what made it")
        else:
            is_unknown = any(one.note == NO_RECORD for one in kinds.get("prediction", []))
            leads = "No record of it is kept; its id alone names" if is_unknown else "It leads to"
            told.append(f"{leads} {_names(versions)}" + (f", made by {origin}" if origin else ""))
            out = [one.key for one in chain.links if one.kind == "taken out"]
            told += [f"It took {_listed(out)} out"] if out else []
    else:
        told.append("No model version is linked to it")
    if versions and kind not in {"prediction", "deployment", "endpoint"}:
        places = list(dict.fromkeys(one.key for one in deployments))
        told.append(f"It went out as {_listed(places)}" if places else "Nothing served it yet")
    return ". ".join(told) + "."


def _told_of_contents(chain: Explanation) -> list[str]:
    """Say what is to know of a path, and how often what it holds, and what it held, was used or made."""
    contents = [one for one in chain.links if one.kind == "data"]
    told = [
        one.text
        for one in chain.links
        if one.kind in {"path", "source"} or (one.kind == "unknown" and not contents)
    ]
    told += [f"Stage {one.key} makes it" for one in chain.links if one.kind == "stage"]
    if not contents:
        return told
    first, earlier = contents[0], [one for one in contents[1:] if one.details["state"] == "earlier"]
    is_content, verb = chain.kind == "content", "is in" if chain.kind == "output" else "went into"
    what = "this content" if is_content else "what it holds now" if _is_now(first) else "what it held last"
    runs = {run for one in (contents if is_content else [first]) for run in one.details["runs"]}
    told.append(
        f"{what[0].upper()}{what[1:]} {verb} {_count(len(runs), 'run')}" if runs else f"No run has {what}"
    )
    if any(one.details["state"] == "on disk" for one in contents):
        told.append("The disk holds another content")
    if earlier and not is_content:
        runs = {run for one in earlier for run in one.details["runs"]}
        used = (
            f"{'was in' if verb == 'is in' else verb} {_count(len(runs), 'run')}" if runs else "no run used"
        )
        told.append(f"{_count(len(earlier), 'earlier content')} {used}")
    return told


def _is_now(link: Link) -> bool:
    return bool(link.details["state"] == "now")


def _count(number: int, word: str) -> str:
    return counted(number, word)


def _names(nodes: list[Node], *, by_label: bool = False) -> str:
    names = [one.label if by_label or one.kind in {"run", "commit"} else one.key for one in nodes]
    return _listed(list(dict.fromkeys(names)))


def _listed(names: list[str]) -> str:
    shown = names[-MOST_NAMED:] if len(names) > MOST_NAMED else names
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
