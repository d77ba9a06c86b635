"""The tables of a report: the same cells on its page and in its Markdown."""

from __future__ import annotations

import re
from html import unescape

import numpy as np

from penstock.monitoring.profile import Profile
from penstock.monitoring.reporting.changes import compare_profiles
from penstock.monitoring.reporting.markdown import tables_markdown
from penstock.monitoring.reporting.pages import render_tables
from penstock.monitoring.reporting.rows import features_table


def test_a_page_and_its_markdown_have_the_same_cells() -> None:
    rng = np.random.default_rng(0)
    before, after = Profile.of({"a<b": rng.normal(size=400)}), Profile.of({"a<b": rng.normal(2, 1, 400)})
    report = compare_profiles(before, after, ("then", "now"))
    (row,) = features_table(report.features).rows
    page = re.findall(r"<tbody>\n<tr>(.*?)</tr>", render_tables(report), re.S)[0]
    cells = [unescape(re.sub("<[^>]+>", "", one)) for one in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", page)]
    assert cells == list(row)
    line = next(one for one in tables_markdown(report).splitlines() if one.startswith("| a&lt;b"))
    assert [unescape(one.strip().replace("\\", "")) for one in line.strip("|").split(" | ")] == list(row)
