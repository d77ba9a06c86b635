"""What programs that are started find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from penstock.base.process import shell_command, with_own_programs


def test_a_command_finds_penstock_wherever_it_was_started_from_and_what_is_in_path_first(
    tmp_path: Path,
) -> None:
    own = Path(sys.executable).parent
    for path, expected in (
        ({"PATH": "/usr/bin:/bin"}, f"/usr/bin:/bin:{own}"),
        ({}, f":/usr/bin:{own}"),
        ({"PATH": ""}, f"/usr/local/bin:/usr/bin:/bin:{own}"),
    ):
        command = with_own_programs(["/bin/sh", "-c", 'echo "$PATH"; command -v penstock; echo $$; exit 3'])
        process = subprocess.Popen(command, env=path, stdout=subprocess.PIPE, text=True)
        found, penstock, number = process.communicate()[0].split()
        if not path:
            assert found.startswith("/usr")
            found = f":/usr/bin:{found.rpartition(':')[2]}"
        assert (found, penstock) == (expected, str(own / "penstock"))
        assert int(number) == process.pid  # it became the command: who ends it ends the command
        assert process.returncode == 3
    first = tmp_path / "penstock"
    first.write_text("#!/bin/sh\n")
    first.chmod(0o755)
    told = subprocess.run(
        with_own_programs(["/bin/sh", "-c", "command -v penstock"]),
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(first)


def test_words_of_a_command_stay_words() -> None:
    words = ["a b", "$HOME", "'", '"', ""]
    told = subprocess.run(
        with_own_programs(["/usr/bin/printf", "<%s>", *words]), capture_output=True, text=True, check=True
    )
    assert told.stdout == "".join(f"<{one}>" for one in words)


def test_a_shell_command_gets_its_variables_and_not_what_is_kept_from_it() -> None:
    for variables in ({"A": "1 2", "B_1": "$x'\""}, {"A": "1 2", "B_1": "$x'\"", "odd.name": "3"}):
        command = shell_command(
            'printf "%s|" "$A" "$B_1" "${SECRET-gone}"; exit 4', variables, without=("SECRET",)
        )
        told = subprocess.run(
            command, env={"SECRET": "s", "A": "other"}, capture_output=True, text=True, check=False
        )
        assert (told.stdout, told.returncode) == ("1 2|$x'\"|gone|", 4), told
