"""The small pieces of HTML of which pages have thousands: states, times, names, ids and what a mapping holds.

They are written here, not as macros: a macro costs ten times as much. What they are given is escaped, and what nobody
can see in it is named. Larger pieces are macros of `_parts.html`, which has these under the same names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from penstock.base.clock import format_ms, iso_ms
from penstock.http.pages.telling.formatting import ago, cut, is_digest, scalar, short_id, visible
from penstock.http.pages.telling.states import State, Tone, state

ITEMS = 20
"""So many parts of a list are told one by one."""
LABEL_LENGTH = 60
ACTORS = {"page": "somebody on a page", "controller": "the controller"}
"""Who did something, of those that the audit calls by a word of its own."""
_OF_FINDING = frozenset({"kind", "route", "breached", "sentence"})


@lru_cache(maxsize=512)
def show(word: str, tone: Tone | None = None, more: str = "") -> Markup:
    """Return a state as its shape and word, and what is said with it, such as `, 1 waived`."""
    found = state(word, tone)
    return show_state(replace(found, word=found.word + more) if more else found)


def show_state(one: State) -> Markup:
    """Return a state that is known as its shape and word."""
    shape, word = _text(one.shape), _text(one.word)
    return Markup(
        f'<span class="state {one.tone}"><span class="shape" aria-hidden="true">{shape}</span> {word}</span>'
    )


def when_ago(time_ms: int) -> Markup:
    """Return how long ago a time was; the browser keeps it so, and the time is its title."""
    machine, title = _stamp(time_ms)
    form = ' data-form="age"' if machine else ""
    return Markup(f'<time{machine}{form} title="{title}">{_text(ago(time_ms))}</time>')


def when(time_ms: int) -> Markup:
    """Return a time."""
    machine, title = _stamp(time_ms)
    return Markup(f'<time{machine} title="{title}">{title}</time>')


@lru_cache(maxsize=4096)
def _stamp(time_ms: int) -> tuple[str, str]:
    """Return a time as an attribute for machines, empty where no calendar has it, and for people."""
    machine = iso_ms(time_ms)
    return f' datetime="{machine}"' if machine else "", format_ms(time_ms)


def name(text: Any, length: int = 40) -> Markup:
    """Return a name, without its middle where it is longer than that many characters; the whole is its title."""
    whole = str(visible(str(text)))
    title = escape(whole)
    if whole and not whole.strip():  # a link of a blank can be neither seen nor clicked
        return Markup(f'<bdi title="{title}">“{escape(cut(whole, length))}”</bdi>')
    return Markup(
        f'<bdi title="{title}">{title if len(whole) <= length else escape(cut(whole, length))}</bdi>'
    )


def called(one: Any, length: int = 40) -> Markup:
    """Return what a run or model is called; the beginning of its id where it has no name that can be seen."""
    return name(one.name, length) if str(one.name or "").strip() else _short(one.id)


def actor(text: Any, length: int = 24) -> Markup:
    """Return who did something, as a sentence names him; what the audit calls him is the title."""
    return Markup(f'<bdi title="{_text(text)}">{_text(cut(ACTORS.get(str(text), str(text)), length))}</bdi>')


def value(text: str, length: int = 80) -> Markup:
    """Return one of the values that stand beside each other: of a digest the beginning, with a button that copies all."""
    if is_digest(text):
        return key_of(text)
    shown = _text(cut(text, length))
    return Markup(f'<span title="{_text(text)}">{shown}</span>') if len(text) > length else shown


def brief(text: str, length: int = 72) -> Markup:
    """Return a name, or the beginning of a digest, for a link: without a button to copy it."""
    return _short(text) if is_digest(text) else name(text, length)


def link_of(text: str, address: str | None, length: int = 72) -> Markup:
    """Return the key of a link of a chain, leading to its page where it has one; a digest as its beginning, with a copy."""
    shown = escape(short_id(text)) if is_digest(text) else name(text, length)
    title = f' title="{_text(text)}"' if is_digest(text) else ""
    made = f'<a class="key" href="{_text(address)}"' if address else '<span class="key"'
    return Markup(
        f"{made}{title}>{shown}</{'a' if address else 'span'}>{copy(text) if is_digest(text) else ''}"
    )


def copy(text: str) -> Markup:
    """Return a button that copies a text."""
    return Markup(
        f'<button type="button" class="copy" data-copy="{_text(text)}" '
        f'aria-label="Copy {_text(cut(text, LABEL_LENGTH))}">copy</button>'
    )


def key_of(text: str) -> Markup:
    """Return the beginning of an id, with a button that copies all of it."""
    return Markup(f"{_short(text)}{copy(text)}")


def cells(row: Iterable[tuple[str, str, str, str]]) -> Markup:
    """Return cells of a row: each has its class, its column's name, its text, and the whole text where that was cut."""
    made = []
    for css, column, text, whole in row:
        title = f' title="{_text(whole)}"' if whole else ""
        made.append(f'<td class="{css}" data-name="{_text(column)}"{title}>{_text(text)}</td>')
    return Markup("".join(made))


def finding(one: Any) -> Markup:
    """Return a finding as an item of a list: as it is now, or as an event tells it."""
    kind, route, sentence = (_text(_part(one, part)) for part in ("kind", "route", "sentence"))
    if _part(one, "breached"):
        word = show("breached", "past")
    else:
        word = show("unjudged" if _part(one, "unjudged") else "held")
    return Markup(
        f'<li class="finding">{word} <span class="what">{kind} · {route}</span> '
        f'<span class="sentence">{sentence}</span></li>'
    )


def details(mapping: Mapping[str, Any]) -> Markup:
    """Return what a mapping holds as a list of names and values; what is empty is left out."""
    rows = [
        f"<div><dt>{_text(key)}</dt><dd>{_value(item, key)}</dd></div>"
        for key, item in mapping.items()
        if item is not None and item not in ({}, [])
    ]
    return Markup(f'<dl class="details">{"".join(rows)}</dl>')


def _short(text: str) -> Markup:
    return Markup(f'<span class="key" title="{_text(text)}">{_text(short_id(text))}</span>')


def _value(item: Any, key: str = "") -> Markup:
    if isinstance(item, Mapping):
        return details(item)
    is_list = isinstance(item, Sequence) and not isinstance(item, str)
    if is_list and item and all(isinstance(one, Mapping) and set(one) >= _OF_FINDING for one in item):
        return Markup(f'<ul class="findings">{"".join(map(finding, item))}</ul>')
    if is_list and item and not isinstance(item[0], int | float | str):
        return Markup(f'<ol class="items">{"".join(f"<li>{_value(one)}</li>" for one in item[:ITEMS])}</ol>')
    if is_list and key == "checks":
        return Markup(f'<ul class="items">{"".join(f"<li>{_text(one)}</li>" for one in item)}</ul>')
    if isinstance(item, str) and is_digest(item):
        return key_of(item)
    return _text(scalar(item, key))


def _part(one: Any, part: str) -> Any:
    return one.get(part) if isinstance(one, Mapping) else getattr(one, part)


def _text(value: Any) -> Markup:
    return escape(visible(value))
