"""Events as people read them: what happened again and again is one row, and each leads to what it is about. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.base.numbers import counted
from penstock.base.store.events import Event
from penstock.http.pages.telling.formatting import path, segment, sentence
from penstock.http.pages.telling.states import plain_words, tone

TOGETHER_MS = 30 * 60_000
"""What happened again within this time is the same row."""
MOST_NAMED = 4
"""So many kinds of what went wrong are named."""
REPEATED = frozenset(
    {"guardrail.breached", "alert.resolved", "alert.failed", "retrain.waiting", "endpoint.not_judged"}
)


@dataclass(frozen=True)
class Row:
    """One row of a timeline, newest event first."""

    events: tuple[Event, ...]

    @property
    def newest(self) -> Event:
        """The event that the row tells."""
        return self.events[0]

    @property
    def words(self) -> str:
        """What happened, in words."""
        count = f"{len(self.events)} × " if len(self.events) > 1 else ""
        return f"{count}{plain_words(self.newest.kind)}"

    @property
    def tone(self) -> str:
        """How the row is coloured."""
        return tone(self.newest.kind)

    @property
    def subject(self) -> str:
        """What it happened to, without its kind."""
        return self.newest.subject.partition(":")[2] or self.newest.subject

    @property
    def address(self) -> str | None:
        """Where the page of what it happened to is."""
        return subject_address(self.newest.subject)


def group_events(events: Sequence[Event]) -> list[Row]:
    """Return events, newest first, as rows; the same of the same subject within half an hour is one.

    Only what the controller tells again and again is put together: every decision keeps a row of its own.
    """
    rows: list[list[Event]] = []
    open_rows: dict[tuple[str, str], int] = {}
    for event in events:
        key = (event.kind, event.subject)
        at = open_rows.get(key)
        if (
            at is not None
            and event.kind in REPEATED
            and rows[at][-1].time_ms - event.time_ms <= TOGETHER_MS
            and _is_undecided(rows[at + 1 :], event.subject)
        ):
            rows[at].append(event)
            continue
        open_rows[key] = len(rows)
        rows.append([event])
    return [Row(tuple(row)) for row in rows]


def answer_of_events(events: Sequence[Event], *, is_cut: bool = False, before: int | None = None) -> str:
    """Return in a sentence how many events these are, newest first, and what went wrong in them; empty without events.

    Args:
        is_cut: whether there are older ones, of which nothing is said.
        before: the number that all of these are older than.
    """
    if not events:
        return ""
    wrong = Counter(plain_words(one.kind) for one in events if tone(one.kind) == "past")
    told = ", ".join(f"{count:,} × {words}" for words, count in wrong.most_common(MOST_NAMED))
    more = f" and {len(wrong) - MOST_NAMED} kinds more" if len(wrong) > MOST_NAMED else ""
    of_them = " in them" if is_cut or before else ""
    what = f". What went wrong{of_them}: {told}{more}" if wrong else f", and nothing went wrong{of_them}"
    which = f"{'The newest ' if is_cut else ''}{counted(len(events), 'event')}"
    older = f" older than number {before}" if before else ""
    return f"{which}{older}{what}. The newest: {sentence(events[0].summary)}"


def _is_undecided(between: list[list[Event]], subject: str) -> bool:
    """Whether nothing was decided about a subject in between: a row may not jump over a decision."""
    return not any(row[0].subject == subject and row[0].kind not in REPEATED for row in between)


def event_address(number: str) -> str:
    """Return where an event is shown, however many came after it.

    Example:
        >>> event_address("7")
        '/events?before=8#event-7'
    """
    asked = f"?before={int(number) + 1}" if number.isascii() and number.isdigit() else ""
    return f"/events{asked}#event-{path(number)}"


def subject_address(subject: str) -> str | None:
    """Return the page of an event's subject, or None.

    Example:
        >>> subject_address("model:late/2"), subject_address("endpoint:a b"), subject_address("user:ada")
        ('/models/late/2', '/endpoints/a%20b', None)
    """
    kind, _, name = subject.partition(":")
    if kind == "endpoint":
        return f"/endpoints/{segment(name)}"
    if kind == "model":
        return f"/models/{path(name)}"
    return f"/runs/{segment(name)}" if kind == "run" else None
