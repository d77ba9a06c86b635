"""No message and no pointer shows what is secret in a URL."""

from __future__ import annotations

import pytest

from .conftest import Desk

PASSWORD = "https://ada:SECRET@127.0.0.1:1/x.git"
TOKEN = "https://SECRET@127.0.0.1:1/x.git"
SIGNED = "https://127.0.0.1:1/x?X-Amz-Signature=SECRET"


@pytest.mark.parametrize(
    "words",
    [
        ("get", PASSWORD, "data"),
        ("--json", "list", PASSWORD),
        ("import", TOKEN, "data"),
        ("get-url", SIGNED),
    ],
    ids=" ".join,
)
def test_a_source_that_cannot_be_reached(desk: Desk, words: tuple[str, ...]) -> None:
    done = desk.run(*words, code=5)
    assert "127.0.0.1" in done.stdout + done.stderr
    assert "SECRET" not in done.stdout + done.stderr


def test_a_pointer_keeps_no_password(desk: Desk) -> None:
    assert "SECRET" not in desk.error("import", PASSWORD, "data")
    assert not (desk.root / "data.dvc").exists()
