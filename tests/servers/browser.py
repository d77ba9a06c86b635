"""Debian's Chromium, driven by Playwright, and a server of pages in a thread, for tests that look as people do."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from starlette.types import ASGIApp

from patience import PATIENCE_S
from servers.ports import reserve
from servers.programs import missing


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser: the one without windows where it is installed, which needs a third of the processor."""
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if program is None:
        missing("Chromium", "chromium-headless-shell")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--hide-scrollbars"]
        )
        expect.set_options(timeout=PATIENCE_S * 1000)
        _make_patient(browser)
        try:
            yield browser
        finally:
            browser.close()


def _make_patient(browser: Browser) -> None:
    """Let all that is done in its pages take long."""
    new_context, new_page = browser.new_context, browser.new_page

    def patient_context(**options: Any) -> BrowserContext:
        context = new_context(**options)
        context.set_default_timeout(PATIENCE_S * 1000)
        return context

    def patient_page(**options: Any) -> Page:
        page = new_page(**options)
        page.set_default_timeout(PATIENCE_S * 1000)
        return page

    browser.new_context, browser.new_page = patient_context, patient_page  # type: ignore[method-assign]


@dataclass
class PageServer:
    """An application on a port that stays its own; it can be stopped and started again on the same one."""

    app: ASGIApp
    port: int = 0
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, and return once it answers."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = self.port or reserve()
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        config = uvicorn.Config(self.app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop to answer; a request gets no connection."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = None


@dataclass
class Watched:
    """A page whose errors and requests are noted."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, page: Page) -> Watched:
        """Begin to note."""
        watched = cls(page)
        page.on("console", lambda said: watched.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on("request", lambda request: watched.requests.append(request.url))
        return watched
