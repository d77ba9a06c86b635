"""How names that a repository chose stand in the files of CI systems: each in the words of who reads it, none by JSON's rules.

A shell, a reader of YAML and a pattern of files each take other characters for their own.
"""

from __future__ import annotations

import re
import shlex

import yaml

_ENDLESS = float("inf")


def yaml_text(text: str) -> str:
    """Return a text as a scalar of YAML on one line, between double quotes.

    Example:
        >>> yaml_text('a "b" ü')
        '"a \\\\"b\\\\" ü"'
    """
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=_ENDLESS).rstrip("\n")


def shell_path(path: str) -> str:
    """Return a relative path as one word of a shell that no command takes for an option.

    Example:
        >>> shell_path("-my $data")
        "'./-my $data'"
    """
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def any_character(path: str, special: str) -> str:
    """Return a pattern that a path fits, whatever the `special` characters in it mean to who reads patterns.

    Example:
        >>> any_character("a[1]/b", "[]")
        'a?1?/b'
    """
    return re.sub(f"[{re.escape(special)}]", "?", path)


def escaped(text: str, special: str) -> str:
    r"""Return a text with a backslash before each character that a pattern would read otherwise.

    Example:
        >>> escaped("a[1]", "[]")
        'a\\[1\\]'
    """
    return re.sub(f"([{re.escape(special)}])", r"\\\1", text)


def github_text(text: str) -> str:
    """Return a text as a scalar of a workflow, in which GitHub finds no expression.

    Example:
        >>> github_text("a")
        '"a"'
    """
    return yaml_text(text.replace("${{", "${{ '${{' }}"))
