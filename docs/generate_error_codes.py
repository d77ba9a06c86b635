"""Write docs/reference/error-codes.md from the places that raise: `python docs/generate_error_codes.py`.

The code is read, not run. A sentence is shown as it is written, with `…` for what it names. Where a function
makes an error of its arguments, what it is called with is looked up: in its own file, and everywhere when its
name is public.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "penstock"
TARGET = Path(__file__).parent / "reference" / "error-codes.md"
MAX_SENTENCES = 3
HEAD = """\
# Error codes

<!-- Made by docs/generate_error_codes.py. Change the code, then run `make docs`. -->

Every error has a code that stays the same from version to version; programs should look at it and not at the
sentence. `…` stands for what an error names. What a cause means for exit codes and HTTP statuses stands in
[errors](errors.md).
"""
Function = ast.FunctionDef | ast.AsyncFunctionDef
Given = Mapping[str, ast.expr]
"""The arguments of one call of a function, by parameter."""


@dataclass
class Case:
    """What is said with one code: its causes, sentences and next steps, in the order they were found."""

    causes: dict[str, None] = field(default_factory=dict)
    sentences: dict[str, None] = field(default_factory=dict)
    hints: dict[str, None] = field(default_factory=dict)


class Sources:
    """Every module of the package, and the calls in it by the name of what is called."""

    def __init__(self) -> None:
        paths = sorted(SOURCE.rglob("*.py"))
        self.trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
        self._calls: dict[str, list[tuple[Path, ast.Call]]] = {}
        for path, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    self._calls.setdefault(_name(node.func), []).append((path, node))

    def calls_of(self, function: Function, path: Path) -> Iterator[Given]:
        """Yield the arguments of every call of a function, its defaults filled in."""
        names = [one.arg for one in function.args.args if one.arg not in {"self", "cls"}]
        defaults = dict(zip(reversed(names), reversed(function.args.defaults), strict=False))
        for place, call in self._calls.get(function.name, ()):
            if place == path or not function.name.startswith("_"):
                given = dict(zip(names, call.args, strict=False))
                yield defaults | given | {one.arg: one.value for one in call.keywords if one.arg}


@cache
def collect() -> dict[str, Case]:
    """Return every code with what is said with it."""
    sources = Sources()
    tree = sources.trees[SOURCE / "base/errors.py"]
    causes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    cases: dict[str, Case] = {}
    for path, tree in sources.trees.items():
        for function, call in _raising(tree, None):
            keywords = {one.arg: one.value for one in call.keywords if one.arg}
            parts = [
                *call.args[:1],
                keywords["code"],
                *(keywords[one] for one in ("hint",) if one in keywords),
            ]
            for given in _meanings(sources, function, path, parts):
                for code in _codes(keywords["code"], given):
                    case = cases.setdefault(code, Case())
                    case.causes.update(dict.fromkeys({_name(call.func)} & causes))
                    case.sentences.update(dict.fromkeys(_texts(call.args[0], given) if call.args else ()))
                    case.hints.update(dict.fromkeys(_texts(keywords.get("hint"), given)))
    return cases


def render() -> str:
    """Return the whole page."""
    cases = collect()
    parts = [HEAD, f"There are {len(cases)}.\n"]
    for part in sorted({code.partition(".")[0] for code in cases}):
        rows = [f"## `{part}`\n", "| code | cause | says | next step |", "| --- | --- | --- | --- |"]
        for code in sorted(one for one in cases if one.partition(".")[0] == part):
            case = cases[code]
            known = ", ".join(f"`{name}`" for name in sorted(case.causes))
            rows.append(f"| `{code}` | {known} | {_cell(case.sentences)} | {_cell(case.hints)} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts).rstrip() + "\n"


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _raising(node: ast.AST, function: Function | None) -> Iterator[tuple[Function | None, ast.Call]]:
    """Yield every call with `code=`, with the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and any(one.arg == "code" for one in child.keywords):
            yield function, child
        yield from _raising(child, child if isinstance(child, Function) else function)


def _meanings(
    sources: Sources, function: Function | None, path: Path, parts: list[ast.expr]
) -> Iterator[Given]:
    """Yield what the parameters stand for in these parts of an error: once for each call, or once nothing."""
    names = {one.arg for one in function.args.args} if function else set()
    used = {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}
    calls = list(sources.calls_of(function, path)) if function and names & used else []
    yield from calls or [{}]


def _codes(node: ast.expr, given: Given) -> list[str]:
    """Return the codes that an expression may be; one that only hands on another error's code is none."""
    if isinstance(node, ast.JoinedStr):
        pieces = [one.value if isinstance(one, ast.FormattedValue) else one for one in node.values]
        texts = [_texts(one, given) for one in pieces]
        return ["".join(found[0] for found in texts)] if all(len(found) == 1 for found in texts) else []
    return _texts(node, given)


def _texts(node: ast.expr | None, given: Given) -> list[str]:
    """Return the texts that an expression may be, with `…` for what is not known."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Name(id=name) if name in given:
            return _texts(given[name], {})
        case ast.IfExp(body=first, orelse=second):
            return [*_texts(first, given), *_texts(second, given)]
        case ast.BoolOp(values=several):
            return [text for one in several for text in _texts(one, given)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            ends = _texts(right, given) or ["…"]
            return [begin + end for begin in _texts(left, given) or ["…"] for end in ends]
        case ast.JoinedStr(values=several):
            return [
                "".join(str(one.value) if isinstance(one, ast.Constant) else _named(one) for one in several)
            ]
    return []


def _named(node: ast.expr) -> str:
    """Return `…` for what a sentence names, with its noun where that is a count."""
    match node:
        case ast.FormattedValue(value=ast.Call(func=ast.Name(id="counted"), args=[_, *nouns])):
            words = [str(one.value) for one in nouns if isinstance(one, ast.Constant)]
            return f"… {words[1] if len(words) > 1 else words[0] + 's'}"
    return "…"


def _cell(texts: dict[str, None]) -> str:
    shown = [one for one in texts if one.strip("… ")][:MAX_SENTENCES]
    text = " / ".join(" ".join(one.split()) for one in shown)
    for character in "\\|<>*_`[]":
        text = text.replace(character, "\\" + character)
    return text


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
