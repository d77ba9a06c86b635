"""States as pages show them: a shape, a word and a tone, so that colour alone never tells anything. Pure.

Green is only what was judged good, red only what is wrong now. What went wrong before is grey with a red mark
(`past`), what only alerts is amber (`warn`), and what has simply ended is grey (`plain`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Tone = Literal["good", "bad", "warn", "past", "busy", "plain"]


@dataclass(frozen=True)
class State:
    """What is shown of a state."""

    shape: str
    word: str
    tone: Tone


_STATES = {
    "healthy": State("●", "healthy", "good"),
    "breached": State("▲", "breached", "bad"),
    "down": State("■", "down", "bad"),
    "refusing": State("✕", "refuses all requests", "bad"),
    "idle": State("○", "idle", "plain"),
    "watching": State("◐", "watching", "busy"),
    "rolling out": State("◐", "rolling out", "busy"),
    "held half-way": State("◐", "held half-way", "warn"),
    "shared by hand": State("◐", "shared by hand", "busy"),
    "rolled back": State("↩", "rolled back", "past"),
    "unjudged": State("?", "not judged", "plain"),
    "held": State("●", "within", "good"),
    "held by CI": State("◐", "held by CI", "warn"),
    "beyond": State("△", "beyond, not sure yet", "warn"),
    "passed": State("✓", "passed", "good"),
    "refused": State("✕", "refused", "past"),
    "under way": State("◐", "under way", "busy"),
    "cut off": State("✕", "cut off", "past"),
    "pass": State("✓", "pass", "good"),
    "fail": State("✕", "fail", "past"),
    "error": State("!", "error", "past"),
    "skipped": State("–", "skipped", "plain"),
    "live": State("●", "live", "plain"),
    "canary": State("◐", "canary", "busy"),
    "never out": State("○", "never out", "plain"),
    "was live": State("○", "was live", "plain"),
    "finished": State("✓", "finished", "plain"),
    "running": State("◐", "running", "busy"),
    "scheduled": State("○", "scheduled", "plain"),
    "failed": State("✕", "failed", "past"),
    "killed": State("✕", "killed", "past"),
    "deleted": State("✕", "deleted", "plain"),
    "drifted": State("▲", "drifted", "past"),
    "retyped": State("▲", "retyped", "past"),
    "gone": State("✕", "gone", "past"),
    "new": State("+", "new", "plain"),
    "unsure": State("○", "unsure", "plain"),
    "steady": State("●", "steady", "plain"),
    "empty": State("–", "empty", "plain"),
    "ready": State("●", "ready", "good"),
    "waiting": State("◐", "waiting", "busy"),
    "fatal": State("✕", "fatal", "past"),
    "hindered": State("▲", "hindered", "past"),
    "lost": State("■", "lost", "past"),
    "not deployed": State("○", "not deployed", "plain"),
    "pending": State("◐", "pending", "busy"),
}


def state(word: str, tone: Tone | None = None) -> State:
    """Return how a state is shown; one that is not known here as its own word.

    Args:
        tone: another tone than its own, such as `past` for what was breached before.
    """
    found = _STATES.get(word) or _STATES.get(word.lower()) or State("○", word, "plain")
    return found if tone is None else replace(found, tone=tone)


BAD_VERBS = (
    "breached",
    "rolled_back",
    "not_rolled_back",
    "not_judged",
    "refused",
    "failed",
    "corrupt",
    "answers_lost",
    "decision_lost",
    "hindered",
    "lost",
)
WAITING_VERBS = ("held",)
GOOD_VERBS = ("passed", "promoted", "advanced")
WORDS = {
    "alert.failed": "alert could not be sent",
    "alert.resolved": "alert over",
    "ci.accepted": "settings accepted",
    "ci.held": "release held",
    "controller.decision_lost": "decision lost",
    "endpoint.answers_lost": "answers lost",
    "endpoint.canary": "canary share changed",
    "endpoint.clock_differs": "clock differs",
    "endpoint.deployed": "deployed",
    "endpoint.not_judged": "cannot be judged",
    "endpoint.not_summarised": "counts only",
    "endpoint.not_rolled_back": "not rolled back",
    "endpoint.rolled_back": "rolled back",
    "endpoint.shadowed": "shadowed",
    "gate.passed": "gate passed",
    "gate.refused": "gate refused",
    "guardrail.breached": "limit breached",
    "model.alias_deleted": "alias deleted",
    "model.cleared": "version may be deployed again",
    "model.promoted": "alias moved",
    "model.registered": "version registered",
    "model.rolled_back": "version rolled back",
    "policy.applied": "policy changed",
    "policy.refused": "policy refused",
    "policy.kept": "policy kept",
    "retrain.failed": "retraining failed",
    "retrain.finished": "retraining finished",
    "retrain.hindered": "retraining hindered",
    "retrain.lost": "retraining lost",
    "retrain.refused": "retrained version refused",
    "retrain.started": "retraining started",
    "retrain.waiting": "retraining waits",
}


def tone(kind: str) -> str:
    """Return how an event's kind is coloured: `past` for what went wrong, `warn` for what waits for a person, `good` or `plain`."""
    verb = kind.rpartition(".")[2]
    if verb in BAD_VERBS:
        return "past"
    if verb in WAITING_VERBS:
        return "warn"
    return "good" if verb in GOOD_VERBS else "plain"


def plain_words(kind: str) -> str:
    """Return an event's kind in the words of people."""
    return WORDS.get(kind) or kind.replace(".", ": ").replace("_", " ")
