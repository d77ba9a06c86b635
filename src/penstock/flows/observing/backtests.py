"""What a backtest found: alarms, what the policy would have done, and what it could not judge."""

from __future__ import annotations

import msgspec

from penstock.base.clock import format_ms
from penstock.base.numbers import counted


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm: when it would have begun, and ended (None: not in this time)."""

    name: str
    labels: dict[str, str]
    sentence: str
    began_ms: int
    ended_ms: int | None = None


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Something the policy would have done. `ended_ms` is when the version it takes out really went, if it did.

    `spared_requests` and `spared_errors` are what that version answered until then.
    """

    kind: str
    time_ms: int
    revision: int
    version: int
    sentence: str
    ended_ms: int | None = None
    spared_requests: int = 0
    spared_errors: int = 0


class NotJudged(msgspec.Struct, frozen=True, kw_only=True):
    """A guardrail that was judged at no look, or that a backtest cannot judge, and why. `route` is empty for all.

    `version` is a canary's, each of which is judged apart. Of kind `canary` it is one that no look was at, of kind
    `rollback` one that was made then and that the policy does not make by what is recorded.
    """

    kind: str
    name: str = ""
    route: str = ""
    version: int = 0
    why: str

    @property
    def sentence(self) -> str:
        """Say it in words."""
        number = f" {self.version}" if self.version and self.route else ""
        where = f" of the {self.route} version{number}" if self.route else ""
        return f"{self.kind}{' ' if self.name else ''}{self.name}{where}: {self.why}"


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy would have told and done at an endpoint between two times."""

    endpoint: str
    policy: str
    since_ms: int
    until_ms: int
    look_count: int
    apart_s: float
    alarms: tuple[Alarm, ...]
    acts: tuple[Act, ...]
    problems: tuple[str, ...]
    not_judged: tuple[NotJudged, ...] = ()

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        if not self.look_count:
            return "No windows were recorded in this time."
        days = max((self.until_ms - self.since_ms) / 86_400_000, 1e-9)
        rollbacks = sum(one.kind == "rollback" for one in self.acts)
        rate = (
            f"{30 * len(self.alarms) / days:.0f} in 30 days" if days >= 1 else "too short to tell of 30 days"
        )
        return (
            f"{counted(len(self.alarms), 'alarm')} in {days:.1f} days ({rate}), "
            f"{counted(rollbacks, 'rollback')}, over {counted(self.look_count, 'look')}."
            + (f" {counted(len(self.not_judged), 'thing')} not judged." if self.not_judged else "")
        )

    def render(self) -> str:
        """Return it as lines of text."""
        lines = [f"{self.endpoint} under {self.policy}: {self.sentence}"]
        for alarm in self.alarms:
            until = "still on" if alarm.ended_ms is None else f"until {format_ms(alarm.ended_ms)}"
            lines.append(
                f"  {format_ms(alarm.began_ms)}  {alarm.name.removeprefix('Penstock')} ({until}): {alarm.sentence}"
            )
        for act in self.acts:
            spared = (
                f"; spares {counted(act.spared_requests, 'request')}, {act.spared_errors} of them failed"
                if act.kind == "rollback"
                else ""
            )
            lines.append(f"  {format_ms(act.time_ms)}  {act.kind}: {act.sentence}{spared}")
        lines += [f"  not judged: {one.sentence}" for one in self.not_judged]
        lines += [f"  not judged: {problem}" for problem in self.problems]
        return "\n".join(lines)
