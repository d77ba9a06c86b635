"""What is known of a version, put together for the documents that are written of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from penstock.records.signature import Signature
from penstock.registry.entities import ModelVersion, Verdict


class VersionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A version with what a reader outside should know.

    Args:
        flavours: libraries that can load it, with their versions where the folder says so.
        verdict: the newest verdict on its content, if any.
        test: the held-out table its metrics were measured on, if penstock.yaml says so.
    """

    version: ModelVersion
    project: str
    flavours: Mapping[str, str | None]
    signature: Signature
    aliases: tuple[str, ...] = ()
    verdict: Verdict | None = None
    test: str | None = None
