"""A version's model card: Markdown with the front matter that Hugging Face reads. It says what was recorded, no more.

**Source**: Hugging Face Hub, "Model cards" (metadata, `model-index`).
"""

from __future__ import annotations

from typing import Any

import yaml

from penstock.base.clock import format_ms
from penstock.base.numbers import format_number
from penstock.registry.documents.facts import VersionFacts
from penstock.registry.documents.origins import by_reason, commit_words, unknowns

LIBRARIES = {"sklearn": "sklearn", "xgboost": "xgboost", "lightgbm": "lightgbm", "catboost": "catboost", "onnx": "onnx",
             "pytorch": "pytorch"}  # fmt: skip
"""What Hugging Face calls the libraries."""


def render_card(facts: VersionFacts) -> str:
    """Render the card; the same version gives the same bytes."""
    version = facts.version
    front = yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True, width=1000)
    lines = ["---", front.rstrip(), "---", "", f"# {_escape(version.model)}, version {version.number}", ""]
    if version.description:
        lines += [version.description, ""]
    lines += ["## Where it came from", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in _origin(facts)]
    if version.provenance.data:
        lines += ["", "## Data", "", "| path | content |", "| --- | --- |"]
        lines += [
            f"| {_escape(path)} | `{digest}` |" for path, digest in sorted(version.provenance.data.items())
        ]
    if version.metrics:
        measured = f", measured on {_escape(facts.test)}" if facts.test else ""
        lines += ["", f"## Metrics{measured}", "", "| metric | value |", "| --- | ---: |"]
        lines += [
            f"| {_escape(name)} | {format_number(value)} |" for name, value in sorted(version.metrics.items())
        ]
    lines += ["", "## Gates", "", *_gates(facts)]
    if facts.signature.inputs:
        lines += ["", "## Inputs and outputs", "", "| column | type | |", "| --- | --- | --- |"]
        for side, columns in (("input", facts.signature.inputs), ("output", facts.signature.outputs)):
            lines += [f"| {_escape(column.name)} | {column.datatype} | {side} |" for column in columns]
    return "\n".join(lines) + "\n"


def front_matter(facts: VersionFacts) -> dict[str, Any]:
    """Return the card's metadata as Hugging Face names them."""
    version = facts.version
    matter: dict[str, Any] = {}
    library = next((LIBRARIES[name] for name in facts.flavours if name in LIBRARIES), None)
    if library is not None:
        matter["library_name"] = library
    matter["tags"] = ["penstock", *(f"{key}:{value}" for key, value in sorted(version.tags.items()))]
    if version.metrics:
        matter["metrics"] = sorted(version.metrics)
        table = facts.test or "held-out data"
        result = {
            "task": {"type": "other"},
            "dataset": {"type": table, "name": table},
            "metrics": [
                {"type": name, "name": name, "value": value}
                for name, value in sorted(version.metrics.items())
            ],
        }
        matter["model-index"] = [{"name": version.model, "results": [result]}]
    return matter


def _origin(facts: VersionFacts) -> list[tuple[str, str]]:
    version, origin = facts.version, facts.version.provenance
    known = [
        ("project", _escape(facts.project)),
        ("registered", f"{format_ms(version.created_ms)} by {_escape(version.actor)}"),
        ("content", f"`{version.digest}`"),
        (f"{commit_words(version)}commit", f"`{origin.commit}`" if origin.commit else "not in git"),
        ("uncommitted changes", f"`{origin.dirty_digest}`" if origin.dirty_digest else ""),
        ("pipeline", f"`{origin.lock_digest}`" if origin.lock_digest else ""),
        ("run", f"`{origin.run_id}`" if origin.run_id else ""),
        ("not known", "; ".join(map(_escape, by_reason(unknowns(version))))),
        ("aliases", ", ".join(map(_escape, facts.aliases))),
        ("loads with", ", ".join(" ".join(filter(None, one)) for one in facts.flavours.items())),
    ]
    return [(name, value) for name, value in known if value]


def _gates(facts: VersionFacts) -> list[str]:
    verdict = facts.verdict
    if verdict is None:
        return ["No gate has judged it."]
    word = "passed" if verdict.passed else "was refused"
    lines = [f"It {word} on {format_ms(verdict.created_ms)} (verdict `{verdict.id}`)."]
    if verdict.checks:
        lines += ["", "| check | | finding |", "| --- | --- | --- |"]
        lines += [
            f"| {_escape(f'{check.kind} {check.name}')} | {check.status} | {_escape(check.sentence)} |"
            for check in verdict.checks
        ]
    return lines


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
