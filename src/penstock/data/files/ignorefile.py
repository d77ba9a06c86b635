"""One ignore file, read as git reads it: its patterns, and which of them decides about a path.

A pattern is the last one of its file that speaks of a path. Comments, blanks at the end of a line, escapes, carriage
returns and a byte order mark are git's.

Source: git, dir.c (`add_patterns_from_buffer`, `parse_path_pattern`, `last_matching_pattern_from_list`).
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.data.files.wildmatch import Match, match_name, match_path

_BOM = b"\xef\xbb\xbf"


class Pattern(NamedTuple):
    """One line: `text` as it counts, at line `number`; `takes_back` for one with `!`."""

    number: int
    text: str
    takes_back: bool
    only_folders: bool
    only_name: bool
    match: Match

    def speaks_of(self, path: bytes, name: bytes, *, is_dir: bool) -> bool:
        """Say whether a path below the file's directory, whose last component is `name`, is meant."""
        if self.only_folders and not is_dir:
            return False
        return self.match(name if self.only_name else path)


def parse_ignore_file(data: bytes) -> tuple[Pattern, ...]:
    """Return the patterns of a file, the last one first: it decides."""
    found = []
    for number, raw in enumerate(data.removeprefix(_BOM).split(b"\n"), 1):
        line = _without_blanks(raw.removesuffix(b"\r").partition(b"\0")[0])
        if not line or line[:1] == b"#":
            continue
        takes_back = line[:1] == b"!"
        body = line[takes_back:]
        only_folders = body[-1:] == b"/"
        body = body[: len(body) - only_folders]
        if not body:
            continue
        only_name = b"/" not in body
        match = match_name(body) if only_name else match_path(body)
        text = line.decode(errors="surrogateescape")
        found.append(Pattern(number, text, takes_back, only_folders, only_name, match))
    return tuple(reversed(found))


def _without_blanks(line: bytes) -> bytes:
    """Return a line without the blanks at its end, but for one that is escaped."""
    end = at = 0
    while at < len(line):
        if line[at] == 0x5C:
            at += 1
            if at == len(line):
                return line
            end = at + 1
        elif line[at] != 0x20:
            end = at + 1
        at += 1
    return line[:end]
