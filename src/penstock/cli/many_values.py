"""Options that take several words, as `argparse` has them and DVC's users write them: `--targets a b c`."""

from __future__ import annotations

import click

MANY = ("--targets", "--remote-config", "--fs-config")


class ManyValues(click.Command):
    """A command whose repeatable options of `MANY` take every word up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option's name before each of its words."""
        return super().parse_args(ctx, spread(args))


def spread(words: list[str]) -> list[str]:
    """Return arguments with one word for each option.

    Example:
        >>> spread(["HEAD", "--targets", "a", "b", "--json"])
        ['HEAD', '--targets', 'a', '--targets', 'b', '--json']
    """
    found: list[str] = []
    name = ""
    has_value = False
    for word in words:
        if word in MANY:
            name, has_value = word, False
        elif name and word.startswith("-"):
            name = ""
        if name and word != name:
            found += [name, word] if has_value else [word]
            has_value = True
        else:
            found.append(word)
    return found
