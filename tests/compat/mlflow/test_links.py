"""The links that MLflow's client prints lead a browser to the pages that show what they name."""

from __future__ import annotations

import re
import urllib.request

import pytest
from playwright.sync_api import Browser

from patience import PATIENCE_S
from servers.browser import chromium
from servers.tracking import Tracking

SCRIPT = """
import contextlib, io
printed = io.StringIO()
client.create_registered_model("no version yet")
with contextlib.redirect_stdout(printed):
    mlflow.set_experiment("linked <b>")
    with mlflow.start_run(run_name="swift <i>run</i>") as run:
        mlflow.log_param("note", "<script>alert(1)</script>")
        for step in range(90):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metric("once", 1.0)
        mlflow.log_text("hello", "notes/a b.txt")
client.create_registered_model("linked model")
version = client.create_model_version("linked model", "s3://bucket/x", run_id=run.info.run_id)
answer([run.info.run_id, run.info.experiment_id, printed.getvalue()])
"""


def page(tracking: Tracking, address: str) -> str:
    with urllib.request.urlopen(tracking.url + address, timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode()
        return text


def browse(browser: Browser, url: str) -> str:
    """Return the page that a browser shows in the end."""
    shown = browser.new_page()
    try:
        shown.goto(url)
        shown.wait_for_url(lambda address: "#" not in address)
        shown.wait_for_selector("h1")
        return shown.content()
    finally:
        shown.close()


@pytest.mark.slow
def test_the_links_of_the_client_lead_to_pages(tracking: Tracking) -> None:
    run_id, experiment, printed = tracking.drive(SCRIPT)
    links = re.findall(r"http://\S+", printed)
    assert [link.removeprefix(tracking.url) for link in links] == [
        f"/#/experiments/{experiment}/runs/{run_id}",
        f"/#/experiments/{experiment}",
    ]
    links += [f"{tracking.url}/#/models/linked%20model/versions/1"]
    with chromium() as browser:
        shown = [browse(browser, link) for link in links]
    heads = [re.search("<h1>(?:<bdi[^>]*>)?(.*?)(?:</bdi>)?</h1>", text) for text in shown]
    assert [head and head.group(1) for head in heads] == [
        "swift &lt;i&gt;run&lt;/i&gt;",
        "linked &lt;b&gt;",
        "linked model/1",
    ]

    run = page(tracking, f"/runs/{run_id}")
    assert "<script>alert" not in run
    assert re.findall(r"<figcaption><b[^>]*>(.*?)</b>", run) == ["loss"]
    assert 'href="/models/linked%20model/1"' in run
    assert f'href="/runs/{run_id}?path=notes#files"' in run
    inner = page(tracking, f"/runs/{run_id}?path=notes")
    (view,) = re.findall(f'href="(/runs/{run_id}/view[^"]*)"', inner)
    (file,) = re.findall('href="(/get-artifact[^"]*)"', page(tracking, view.replace("&amp;", "&")))
    assert page(tracking, file.replace("&amp;", "&")) == "hello"
    assert 'role="alert"' in page(tracking, f"/runs/{run_id}?path=../..")

    assert run_id in page(tracking, f"/experiments/{experiment}?filter=metrics.loss%20%3C%200.5")
    assert "No run matches" in page(tracking, f"/experiments/{experiment}?filter=metrics.loss%20%3E%200.5")
    assert 'role="alert"' in page(tracking, f"/experiments/{experiment}?filter=bogus(")
    assert "no version yet" in page(tracking, "/models")
