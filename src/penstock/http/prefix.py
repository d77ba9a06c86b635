"""A server behind a proxy that gives it a folder of its own, such as `https://example.org/penstock/`."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.base.errors import Invalid


def parse_prefix(text: str) -> str:
    """Return a prefix as paths begin with it; empty for none.

    Raises:
        Invalid: it does not begin with a slash, ends with one, or is no plain path.

    Example:
        >>> parse_prefix("/penstock"), parse_prefix("")
        ('/penstock', '')
    """
    parts = text.split("/")[1:]
    is_plain = all(part not in {"", ".", ".."} and part.isascii() and part.isprintable() for part in parts)
    if text and (not text.startswith("/") or not is_plain or set(text) & set('?#%&<>"\\ ')):
        raise Invalid(
            f"{text!r} is no prefix of paths",
            code="http.bad_prefix",
            hint="write /penstock, without a slash at its end",
        )
    return text


class Unprefix:
    """Takes the prefix off each path that has it; a proxy that took it off already does no harm."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            path = str(scope["path"])
            if path == self._prefix or path.startswith(f"{self._prefix}/"):
                raw = scope.get("raw_path")
                begin = self._prefix.encode()
                scope = {**scope, "path": path[len(self._prefix) :] or "/"}
                if isinstance(raw, bytes) and raw.startswith(begin):
                    scope["raw_path"] = raw[len(begin) :] or b"/"
        await self._app(scope, receive, send)
