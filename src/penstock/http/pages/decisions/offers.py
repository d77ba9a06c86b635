"""What a page offers to do, and why not the rest: asked of the plans themselves, so that no button leads to a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from penstock.base.errors import PenstockError
from penstock.base.store.outside import told_outside

_COMMAND = re.compile(r"penstock [^,;:]+\Z")


@dataclass(frozen=True)
class Offer:
    """Something that can be done now, or why it cannot: `refusal` is the whole sentence, `hint` what to do first."""

    refusal: str = ""
    hint: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it can be done."""
        return not self.refusal

    @property
    def why(self) -> str:
        """The reason alone, without what it is that cannot be done."""
        return self.refusal.partition(": ")[2] or self.refusal

    @property
    def command(self) -> str:
        """The hint where it is a command and no more, as it can be copied."""
        return self.hint if _COMMAND.match(self.hint) else ""


OPEN = Offer()


def offer(plan: Callable[[], object]) -> Offer:
    """Return whether a plan can be made; nothing is changed by that."""
    try:
        plan()
    except PenstockError as error:
        told = told_outside(error)
        return Offer(told.message, told.hint or "")
    return OPEN
