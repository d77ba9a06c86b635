"""The `gates:` list of penstock.yaml: every entry is one check; all must pass. What a check is asked says its own file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.base.digest import digest_file, digest_value
from penstock.registry.entities import CheckResult, Severity, Waiver
from penstock.registry.gates.catalogue import RESERVED, find_gate, list_gates
from penstock.registry.gates.check import Gate
from penstock.registry.gates.code import bound_files, unbound_code


class GateEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry under `gates:`: exactly one check, whether its failure blocks or warns, and who waived it for how long."""

    kind: str
    settings: Any
    severity: Severity = "block"
    waiver: Waiver | None = None

    @property
    def gate(self) -> Gate:
        """The gate of its kind."""
        return find_gate(self.kind)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that its check reads."""
        return self.gate.tables(self.settings)

    @staticmethod
    def key_names() -> Sequence[str]:
        """Return the keys that an entry may have in penstock.yaml."""
        return [*list_gates(), *sorted(RESERVED)]

    @staticmethod
    def own_keys(key: str) -> frozenset[str]:
        """Return the keys of every entry that do not stand inside of `key`: what a kind calls so itself may."""
        if key in RESERVED:
            return frozenset()
        return RESERVED - set(getattr(find_gate(key).settings, "__struct_fields__", ()))

    @staticmethod
    def type_of(key: str) -> Any:
        """Return what a key's value is."""
        if key == "severity":
            return Severity
        if key == "waiver":
            return Waiver
        gate = find_gate(key)
        return gate.settings | str if gate.short else gate.settings

    @classmethod
    def of_keys(cls, values: Mapping[str, Any]) -> GateEntry:
        """Return the entry of what stands under its keys.

        Raises:
            ValueError: it names no check, or two.
        """
        kinds = [key for key in values if key not in RESERVED]
        if len(kinds) != 1:
            known = ", ".join(f"`{kind}`" for kind in list_gates())
            raise ValueError(f"a gate entry names exactly one of {known}")
        kind, settings = kinds[0], values[kinds[0]]
        short = find_gate(kind).short
        if isinstance(settings, str) and short is not None:
            settings = short(settings)
        return cls(
            kind=kind,
            settings=settings,
            severity=values.get("severity", "block"),
            waiver=values.get("waiver"),
        )

    def written(self) -> dict[str, Any]:
        """Return the entry as penstock.yaml has it, its defaults filled in."""
        written = {self.kind: self.gate.written(self.settings)}
        if self.severity != "block":
            written["severity"] = self.severity
        if self.waiver is not None:
            written["waiver"] = msgspec.to_builtins(self.waiver)
        return written


def code_of(entry: GateEntry, root: Path) -> dict[str, str]:
    """Return the files of the tree that belong to a check, each that is there with its sha256."""
    found = {name: _digest(root / name) for name in bound_files(entry.gate, entry.settings, root)}
    return {name: digest for name, digest in found.items() if digest is not None}


def changed_code(checks: Sequence[CheckResult], root: Path) -> tuple[str, ...]:
    """Return the files of a verdict's checks that are there and have other content than when it was made."""
    code = _code_in(checks)
    return tuple(name for name in sorted(code) if _digest(root / name) not in (code[name], None))


def absent_code(checks: Sequence[CheckResult], root: Path) -> tuple[str, ...]:
    """Return the files of a verdict's checks that are not there: of these nobody can say whether they changed."""
    return tuple(name for name in sorted(_code_in(checks)) if not (root / name).is_file())


def _code_in(checks: Sequence[CheckResult]) -> dict[str, str]:
    return {name: digest for check in checks for name, digest in check.code.items()}


def settings_digest(gates: tuple[GateEntry, ...], root: Path) -> str:
    """Return the digest a verdict is bound to: other gates, or another byte in their code, other digest.

    Settings that came later count only where they are used, so that older verdicts keep holding.
    """
    written: list[dict[str, Any]] = []
    for entry in gates:
        files = {name: _digest(root / name) for name in bound_files(entry.gate, entry.settings, root)}
        written.append({**entry.written(), **({"files": files} if files else {})})
    return digest_value(written)


def unbound_codes(root: Path, gates: Sequence[GateEntry]) -> list[str]:
    """Say of each gate where it runs code that no verdict can be bound to."""
    found = (unbound_code(entry.gate, entry.settings, root) for entry in gates)
    return [sentence for sentence in found if sentence is not None]


def _digest(path: Path) -> str | None:
    try:
        return digest_file(path)
    except OSError:
        return None
