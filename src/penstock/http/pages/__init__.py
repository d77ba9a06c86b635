"""Pages: plain HTML, rendered on the server, that work without JavaScript."""

from __future__ import annotations

from penstock.http.pages.problems import page_exception_handlers
from penstock.http.pages.routes import page_routes
from penstock.http.pages.sign_in import sign_in_routes
from penstock.http.pages.turned_away import build_turn_away

__all__ = ["build_turn_away", "page_exception_handlers", "page_routes", "sign_in_routes"]
