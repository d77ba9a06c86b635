"""Descriptions that people wrote in Markdown, as HTML that can do nothing: no markup of theirs, no pictures."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

from penstock.http.pages.telling.formatting import visible

MAX_LENGTH = 50_000
# A picture would be a request, to another host or with the reader's rights; its text stays. Headings of a
# description stand below those of the page.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


def markdown(text: str) -> Markup:
    """Render Markdown; markup in it is shown as text, and links lead only to web pages and mail.

    Example:
        >>> markdown("**so** <b>it</b> [is](javascript:x)")
        Markup('<p><strong>so</strong> &lt;b&gt;it&lt;/b&gt; [is](javascript:x)</p>\\n')
    """
    tokens = _PARSER.parse(visible(text[:MAX_LENGTH]))
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", "noreferrer nofollow")
        if token.type == "table_open":
            token.attrSet("class", "prose-table")
        token.attrs.pop("style", None)  # the alignment of a cell, which the policy forbids
    return Markup(_PARSER.renderer.render(tokens, _PARSER.options, {}))
