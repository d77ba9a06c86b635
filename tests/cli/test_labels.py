"""`penstock feedback`: what is no label is refused by the command, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.forking import run_penstock


@pytest.mark.parametrize("label", ["NaN", "1e999", "-Infinity", "[1, NaN]"])
def test_a_label_that_is_no_finite_number_is_refused_with_that_reason(tmp_path: Path, label: str) -> None:
    done = run_penstock(tmp_path, "feedback", "prices", "--prediction", "x", "--label", label)
    assert done.returncode == 1
    assert "a number that is not finite" in done.stderr
    assert "URL" not in done.stderr
