"""Files in which git left both sides of a conflict."""

from __future__ import annotations

import shlex

from penstock.base.errors import Invalid


def refuse_conflict(text: str, name: str, hint: str = "") -> None:
    """Make sure that a text holds no conflict marks; `name` is the file's, `hint` what else to do.

    Raises:
        Invalid: it does.
    """
    if text.startswith("<<<<<<< ") or "\n<<<<<<< " in text:
        line = text[: text.index("<<<<<<< ")].count("\n") + 1
        raise Invalid(
            f"{name}:{line}: git left both sides of a conflict in it",
            code="data.conflict",
            hint=hint
            or f"git checkout --ours {shlex.quote(name)} (or --theirs), or edit it; then git add {shlex.quote(name)}",
            file=name,
            line=line,
        )
