"""What pages say of versions: whether one may go out, how all of them stand; its numbers are told by `measures`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.base.numbers import counted
from penstock.flows.chain.outings import Outing
from penstock.flows.models.evidence.doors import Doors
from penstock.flows.models.views import VersionView
from penstock.flows.production.fitting import Takeover
from penstock.http.pages.telling.conditions import Condition
from penstock.http.pages.telling.formatting import cut
from penstock.http.pages.telling.serving import serves_now, tell_serving, tell_takeovers

NAMED = 5
"""So many versions are named in a sentence."""


def answer_of_models(
    count: int, shown: Sequence[VersionView], outings: Mapping[tuple[str, int], Outing]
) -> str:
    """Return in a sentence which versions answer now, which are tried, and which wait for a person; empty without models."""
    if not count:
        return ""
    standing = [(one, outings[(one.version.model, one.version.number)]) for one in shown]

    def named(word: str) -> str:
        told = [
            f"{cut(one.version.ref, 60)} on {', '.join(cut(name) for name in outing.endpoints[:NAMED])}"
            for one, outing in standing
            if outing.standing == word
        ]
        return ", ".join(told[:NAMED]) + (f" and {len(told) - NAMED} more" if len(told) > NAMED else "")

    held = [cut(one.version.ref, 60) for one in shown if one.held and one.held.waits]
    live = named("live")
    sentences = [f"{counted(count, 'model')}. " + (f"Live: {live}." if live else "None of them is live.")]
    if named("canary"):
        sentences.append(f"Tried as a canary: {named('canary')}.")
    if held:
        sentences.append(f"Waiting for a person: {', '.join(held[:NAMED])}.")
    return " ".join(sentences)


def answer_of(
    found: VersionView,
    outing: Outing,
    doors: Doors,
    takeovers: Sequence[Takeover] = (),
    serving: Sequence[Condition] = (),
) -> str:
    """Return whether a version may go out, in one sentence, by what the doors and the endpoints that serve its model say of it."""
    ref, verdict, shut = found.version.ref, doors.verdict, doors.shut
    if found.rolled_back is not None:
        why = found.rolled_back.why_of(found.version)
        return f"{ref} may not go out: {why}{f'. {outing.still}' if outing.still else ''}"
    if serves_now(outing):
        return tell_serving(ref, outing, serving)
    if found.held is not None and (shut is None or found.held.waits):
        also = (
            f" It would be refused besides: {shut.message.partition(': ')[2] or shut.message}."
            if shut
            else ""
        )
        return f"{found.held.sentence}.{also}"
    is_judged = shut is None or shut.code != "gate.no_passing_verdict"
    if shut is not None and (is_judged or (verdict is not None and verdict.passed)):
        return f"{ref} may not go out: {shut.message.partition(': ')[2] or shut.message}"
    if verdict is None:
        return f"Nobody knows whether {ref} may go out: no gate has judged it."
    if not verdict.passed:
        why = "; ".join(one.sentence for one in verdict.blocking[:2])
        return f"{ref} may not go out: {why}"
    if any(one.refusal for one in takeovers):
        return tell_takeovers(ref, verdict.summary, takeovers)
    if not verdict.checks:
        return f"{ref} may go out, but nothing was checked: no gates are set."
    before = " It was live before." if outing.standing == "was live" else " Nothing served it yet."
    return f"{ref} may go out: {verdict.summary}.{before} Its files are read when it is promoted."
