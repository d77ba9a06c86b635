"""The model card of a version: what it is, takes and gives, was made from, scored, and what became of it.

Markdown with the front matter that Hugging Face's hub reads (`library_name`, `metrics`, `model-index`). Nothing is in it
that the store does not have: what it is meant for, people write into its description.

Source: huggingface.co/docs/hub/model-cards, sections "Model card metadata" and "Evaluation results".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from penstock.base.clock import format_ms
from penstock.base.numbers import counted, format_number
from penstock.flows.chain.outings import Outing
from penstock.flows.models.views import VersionView
from penstock.records.signature import Column, Signature
from penstock.registry.documents.origins import by_reason, commit_words, unknowns

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


@dataclass(frozen=True)
class ModelCard:
    """A card: what programs read of it, and what people read."""

    front_matter: str
    body: str

    @property
    def text(self) -> str:
        """The whole file."""
        return f"---\n{self.front_matter}---\n\n{self.body}"


def make_card(found: VersionView, signature: Signature | None, outing: Outing, task: str = "") -> ModelCard:
    """Return the card of a version.

    Args:
        task: what kind of question it answers, in the hub's words, where that is known.
    """
    version = found.version
    origin = version.provenance
    size = sum(file.size for file in version.manifest.files)
    lines = [f"# {escape(version.ref)}", "", _state(found, outing), ""]
    if version.description:
        lines += [version.description.strip(), ""]
    facts = [
        ("registered", f"{format_ms(version.created_ms)} by {escape(version.actor)}"),
        ("called", ", ".join(f"`{name}`" for name in found.aliases)),
        ("sha256", f"`{version.digest}`" if version.digest else ""),
        (
            "size",
            f"{counted(size, 'byte')} in {counted(len(version.manifest.files), 'file')}"
            if version.manifest.files
            else "",
        ),
    ]
    lines += [f"- {name}: {value}" for name, value in facts if value] + [""]
    if signature is not None:
        for title, columns in (("Takes", signature.inputs), ("Gives", signature.outputs)):
            lines += [f"## {title}", "", *_table(("name", "type", "required"), map(_column, columns)), ""]
    scores = [version.metrics, *(one.metrics for one in outing.live)]
    if names := sorted({name for one in scores for name in one}):
        rows = [
            (name, *(format_number(one[name]) if name in one else "–" for one in scores)) for name in names
        ]
        live = [f"live on {one.endpoint}, {counted(one.label_count, 'label')}" for one in outing.live]
        lines += ["## Scores", "", *_table(("metric", "held-out data", *live), rows), ""]
    if found.verdict is not None:
        lines += [f"## Gates: {'passed' if found.verdict.passed else 'refused'}", ""]
        lines += [f"- {one.status}: {escape(one.sentence)}" for one in found.verdict.checks]
        lines += ["", f"Verdict `{found.verdict.id}`, {format_ms(found.verdict.created_ms)}.", ""]
    commit = f"{commit_words(version)}commit"
    made = [("run", origin.run_id), (commit, origin.commit), ("pipeline", origin.lock_digest)]
    lines += ["## Made from", "", *(f"- {name} `{value}`" for name, value in made if value)]
    if origin.dirty_digest:
        lines.append("- with changes that were not committed")
    lines += [f"- {escape(path)} `{digest}`" for path, digest in sorted(origin.data.items())]
    lines += [f"- not known: {escape(sentence)}" for sentence in by_reason(unknowns(version))]
    return ModelCard(_front_matter(found, task), "\n".join(lines).rstrip() + "\n")


def escape(text: str) -> str:
    r"""Return a text as Markdown that says just that.

    Example:
        >>> escape("a*b\n# c"), escape("<img>")
        ('a\\*b \\# c', '\\<img\\>')
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _state(found: VersionView, outing: Outing) -> str:
    state = found.rolled_back
    if state is not None:
        still = f" {escape(outing.still)}" if outing.still else ""
        if state.is_of(found.version):
            return f"**Rolled back:** {escape(state.why)}.{still}"
        return f"It {escape(f'{state.whose(found.version)} rolled back: {state.why}')}.{still}"
    words = {
        "live": "It is live on",
        "canary": "It is a canary on",
        "was live": "It was live on",
        "rolled back": "It was rolled back on",
    }.get(outing.standing)
    return f"{words} {escape(', '.join(outing.endpoints))}." if words else "It was never out."


def _column(column: Column) -> tuple[str, str, str]:
    shape = "" if not column.is_tensor else f" {list(column.shape)}"
    meaning = f", {column.meaning}" if column.meaning else ""
    return column.name, f"{column.datatype}{shape}{meaning}", column.necessity


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *([escape(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _front_matter(found: VersionView, task: str) -> str:
    version = found.version
    metrics = {name: value for name, value in sorted(version.metrics.items()) if math.isfinite(value)}
    document: dict[str, Any] = {
        "tags": ["penstock", *(f"{key}:{value}" for key, value in version.tags.items())]
    }
    library = version.provenance.environment.get("library")
    if library:
        document["library_name"] = library
    if task:
        document["pipeline_tag"] = task
    if metrics:
        document["metrics"] = list(metrics)
        data = next(iter(sorted(version.provenance.data)), "held-out data")
        result = {
            "task": {"type": task or "other"},
            "dataset": {"type": "private", "name": data},
            "metrics": [{"type": name, "name": name, "value": value} for name, value in metrics.items()],
        }
        document["model-index"] = [{"name": version.ref, "results": [result]}]
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))
