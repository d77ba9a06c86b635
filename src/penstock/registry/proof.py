"""A verdict as proof: an in-toto statement that binds model, gate settings and data, signed; and whether one holds.

The statement is a verification summary of SLSA with the whole verdict beside it, so that a row of the store that
differs from what was signed in any field is noticed. Keys are the caller's; nothing of trust is read from the store.
**Source**: in-toto attestation framework, Statement v1; SLSA v1.0, verification_summary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.base.clock import format_ms
from penstock.base.digest import canonical_json
from penstock.base.errors import Corrupt
from penstock.base.signing import (
    PublicKey,
    SigningKey,
    open_envelope,
    parse_envelope,
    read_statement,
    seal,
)
from penstock.registry.entities import Verdict

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/verification_summary/v1"
VERDICT = "penstock_verdict"
ADOPTED = "penstock_adopted"
ProofState = Literal["proven", "unsigned", "untrusted", "damaged"]


class Difference(NamedTuple):
    """What is recorded otherwise than it was signed: a field by its name, or a clause."""

    words: str
    is_field: bool = False


@dataclass(frozen=True)
class Proof:
    """Whether a verdict is what a trusted key signed, in a word and in a sentence; `key` is the key's id."""

    state: ProofState
    sentence: str
    key: str | None = None

    @property
    def holds(self) -> bool:
        """Whether a door may open on it."""
        return self.state == "proven"


def seal_verdict(verdict: Verdict, key: SigningKey, *, adopted: Mapping[str, Any] | None = None) -> Verdict:
    """Return a verdict with its signed statement.

    Args:
        adopted: who vouches, and when, for a verdict that was made before verdicts were signed.
    """
    predicate: dict[str, Any] = {
        "verifier": {"id": "urn:penstock:gate"},
        "timeVerified": datetime.fromtimestamp(verdict.created_ms / 1000, UTC).isoformat(),
        "resourceUri": f"urn:penstock:model:{verdict.model}",
        "policy": {"uri": "urn:penstock:gates", "digest": {"sha256": verdict.settings_digest}},
        "verificationResult": "PASSED" if verdict.passed else "FAILED",
        "verifiedLevels": ["PENSTOCK_GATES_PASSED"] if verdict.passed else ["FAILED"],
        VERDICT: _signed(verdict),
    }
    if adopted is not None:
        predicate[ADOPTED] = dict(adopted)
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": verdict.model, "digest": {"sha256": verdict.model_digest}}],
        "predicateType": PREDICATE,
        "predicate": predicate,
    }
    return msgspec.structs.replace(verdict, envelope=seal(statement, key))


def examine_verdict(
    verdict: Verdict,
    keys: Mapping[str, PublicKey],
    was_called: Callable[[str, str], bool],
    was_signing: Callable[[int], bool],
) -> Proof:
    """Say whether a verdict is what one of the keys signed.

    One without a signature is damage where verdicts were signed by then: none is made without.

    Args:
        keys: the trusted keys, by their ids.
        was_called: whether a model (the second name) had the first name before.
        was_signing: whether the store has a verdict that was signed when it was made, until that time.
    """
    if verdict.envelope is None and was_signing(verdict.created_ms):
        return Proof(
            "damaged",
            "its signature is gone, or it never was judged: the store has verdicts older than it that are signed",
        )
    if verdict.envelope is None:
        return Proof("unsigned", "it is not signed; verdicts before signing were not")
    proof, statement = examine(
        verdict.envelope, keys, "it", lambda statement: _difference(statement, verdict, was_called)
    )
    if not proof.holds:
        return proof
    signer = str(proof.key)
    vouched = statement["predicate"].get(ADOPTED)
    if isinstance(vouched, dict):
        when = format_ms(int(vouched.get("time_ms", 0)))
        sentence = f"unsigned when it was made, before signing; {vouched.get('actor')} vouched for it on {when} (key {signer[:16]})"
        return Proof("proven", sentence, signer)
    return Proof("proven", f"signed by the key {signer[:16]}", signer)


def was_signed_at_once(envelope: str) -> bool:
    """Say whether a verdict has a statement from when it was made: not one by which somebody vouched for it later."""
    try:
        predicate = read_statement(parse_envelope(envelope)).get("predicate")
    except Corrupt:
        return False
    return isinstance(predicate, dict) and VERDICT in predicate and ADOPTED not in predicate


def examine(
    envelope: str,
    keys: Mapping[str, PublicKey],
    what: str,
    difference: Callable[[dict[str, Any]], Difference | None],
) -> tuple[Proof, dict[str, Any]]:
    """Say whether one of the keys signed an envelope and what is recorded is still as signed; return its statement too.

    Args:
        keys: the trusted keys, by their ids.
        what: what it is about, as the sentences begin: "it".
        difference: what a statement says otherwise than what is recorded; None when nothing.
    """
    try:
        parsed = parse_envelope(envelope)
        opened = open_envelope(parsed, keys)
        statement = opened[0] if opened else read_statement(parsed)
        found = difference(statement)
    except Corrupt as error:
        return Proof("damaged", error.message), {}
    signer = opened[1].id if opened else parsed.signatures[0].keyid
    if found is not None:
        whose = "its" if what == "it" else f"{what}'s"
        told = (
            f"{whose} field `{found.words}` was changed after it was signed"
            if found.is_field
            else f"{what} was changed after it was signed: {found.words}"
        )
        return Proof("damaged", told, signer), statement
    sentence = f"{what} is signed by the key {signer[:16]}"
    if opened is None:
        return Proof("untrusted", f"{sentence}, which is not trusted here", signer), statement
    return Proof("proven", sentence, signer), statement


def _difference(
    statement: dict[str, Any], verdict: Verdict, was_called: Callable[[str, str], bool]
) -> Difference | None:
    """Return what a verdict's row says otherwise than its statement; None when nothing."""
    try:
        predicate, subject = statement["predicate"], statement["subject"]
        signed = dict(predicate[VERDICT])
        bound = (
            statement["_type"], statement["predicateType"], subject[0]["digest"]["sha256"],
            predicate["policy"]["digest"]["sha256"], predicate["verificationResult"],
        )  # fmt: skip
    except (KeyError, TypeError, IndexError, ValueError):
        return Difference("its statement is none of a verdict")
    row = _signed(verdict)
    name = str(signed.get("model"))
    if name != verdict.model and was_called(name, verdict.model):
        signed["model"] = verdict.model
    for field in sorted(row.keys() | signed.keys()):
        if canonical_json(row.get(field)) != canonical_json(signed.get(field)):
            return Difference(field, is_field=True)
    expected = (
        STATEMENT, PREDICATE, verdict.model_digest, verdict.settings_digest,
        "PASSED" if verdict.passed else "FAILED",
    )  # fmt: skip
    if bound != expected:
        return Difference("what its statement is about")
    if verdict.passed and any(check.is_blocking for check in verdict.checks):
        return Difference("it passed with a check that blocks")
    return None


def _signed(verdict: Verdict) -> dict[str, Any]:
    """Return what of a verdict is signed: all of it but the signature."""
    built: dict[str, Any] = msgspec.to_builtins(verdict)
    del built["envelope"]
    for check in built["checks"]:
        if check["waiver"] is None:  # verdicts before waivers were signed without the word
            del check["waiver"]
        if not check["code"]:  # so were those before each file of a check's code was named
            del check["code"]
    return built
