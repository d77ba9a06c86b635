"""What a chain is told in: links, and the explanation that they make up."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.registry.entities import ModelVersion


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain: what it is, its key, and what there is to say of it.

    One of the kinds `unknown` and `none` has no key: nothing is known there, or nothing is there.
    """

    kind: str
    key: str
    text: str
    details: dict[str, Any] = {}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of one subject, nearest link first. `version` is the model version it leads to."""

    subject: str
    kind: str
    links: tuple[Link, ...]
    version: str | None = None
    commit: str | None = None


def make_explanation(
    subject: str, kind: str, links: list[Link], version: ModelVersion | None, commit: str | None = None
) -> Explanation:
    """Return an explanation; without a commit of its own it leads to that of its version."""
    return Explanation(
        subject=subject,
        kind=kind,
        links=tuple(links),
        version=version.ref if version else None,
        commit=commit or (version.provenance.commit if version else None),
    )


def unknown(sentence: str) -> Link:
    """Return a link that says what is not known."""
    return Link(kind="unknown", key="", text=sentence)


def nothing(sentence: str) -> Link:
    """Return a link that says what there is none of."""
    return Link(kind="none", key="", text=sentence)
