"""The small pieces of HTML: everything in them is escaped, what nobody can see is named, and each value is told in one way."""

from __future__ import annotations

from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from penstock.base.clock import now_ms
from penstock.http.pages.telling import fragments
from penstock.monitoring.findings import Finding
from penstock.tracking.entities import Run

HOSTILE = "<img src=x onerror=alert(1)>\"'&\u202efdp"
SHOWN = "&lt;img src=x onerror=alert(1)&gt;&#34;&#39;&amp;⟨U+202E⟩fdp"
FOUND = {"kind": HOSTILE, "route": "stable", "breached": True, "sentence": HOSTILE}


def test_whatever_a_piece_is_given_is_shown_as_text() -> None:
    pieces = [
        fragments.show(HOSTILE),
        fragments.name(HOSTILE, 200),
        fragments.name(HOSTILE, 5),
        fragments.copy(HOSTILE),
        fragments.key_of(HOSTILE),
        fragments.actor(HOSTILE, 200),
        fragments.value(HOSTILE),
        fragments.brief(HOSTILE),
        fragments.link_of(HOSTILE, f"/runs/{HOSTILE}"),
        fragments.called(Run(id="1", experiment="e", name=HOSTILE, status="RUNNING", start_ms=0)),
        fragments.finding(FOUND),
        fragments.cells([("n", HOSTILE, HOSTILE, HOSTILE)]),
        fragments.details({HOSTILE: HOSTILE, "in": {"deep": [HOSTILE]}, "checks": [HOSTILE], "all": [FOUND]}),
        fragments.details({"rows": [{HOSTILE: 1}, [HOSTILE], None]}),
    ]
    for one in pieces:
        assert "<img" not in one, one
        assert "\u202e" not in one, one
    assert SHOWN in pieces[1]
    assert SHOWN in pieces[12]


@given(st.text(max_size=80), st.integers(3, 60))
def test_a_name_has_all_of_itself_in_its_title(text: str, length: int) -> None:
    piece = fragments.name(text, length)
    title = piece.partition('title="')[2].partition('"')[0]
    assert unescape(title) == fragments.visible(text)
    assert piece.count("<") == 2


def test_a_time_is_told_for_people_and_machines_and_one_that_no_calendar_has_stays_a_number() -> None:
    piece = fragments.when_ago(now_ms() - 90_000)
    assert 'data-form="age"' in piece
    assert ">1 min ago</time>" in piece
    assert fragments.when(0) == (
        '<time datetime="1970-01-01T00:00:00+00:00" title="1970-01-01 00:00:00Z">1970-01-01 00:00:00Z</time>'
    )
    assert fragments.when_ago(2**62) == f'<time title="{2**62} ms">{2**62} ms</time>'


def test_details_leave_out_what_is_empty_and_tell_lists_by_what_they_hold() -> None:
    told = fragments.details(
        {
            "none": None,
            "no": {},
            "nothing": [],
            "zero": 0,
            "numbers": [1, 2],
            "time_ms": 0,
            "checks": ["a: b"],
        }
    )
    for absent in ("<dt>none", "<dt>no<", "<dt>nothing"):
        assert absent not in told
    for present in ("<dd>0</dd>", "<dd>1, 2</dd>", "<dd>1970-01-01 00:00:00Z</dd>", "<li>a: b</li>"):
        assert present in told
    assert fragments.details({"rows": list(range(30))}).count("<li>") == 0
    assert fragments.details({"rows": [{"at": one} for one in range(30)]}).count("<li>") == fragments.ITEMS


def test_a_finding_is_told_alike_from_a_look_and_from_an_event() -> None:
    found = Finding(
        kind="drift", endpoint="delay", start_s=0, name="temp", route="stable", revision=1, version=1, breached=True, sentence="PSI is 3",
        statistic="psi", statistic_value=3.0, observed=3.0, limit=0.2, count=10, end_s=0,
    )  # fmt: skip
    event = {"kind": "drift", "route": "stable", "breached": True, "sentence": "PSI is 3"}
    assert fragments.finding(found) == fragments.finding(event)
    assert "within" in fragments.finding({**event, "breached": False})
    assert "not judged" in fragments.finding({**event, "breached": False, "unjudged": "few_rows"})


def test_a_digest_is_told_by_its_beginning_and_copied_whole() -> None:
    whole = "md5:140228cce27d6f9edeb63c841c40d6c5.dir"
    for piece in (fragments.value(whole), fragments.link_of(whole, "/why/data/raw")):
        assert 'class="key"' in piece
        assert f'title="{whole}"' in piece
        assert f'data-copy="{whole}"' in piece
        assert ">140228cc<" in piece
    assert f'data-copy="{whole}"' in fragments.details({"in": {"data": whole}})
    assert "<button" not in fragments.brief(whole)
    assert fragments.value("0.5") == "0.5"
    assert f'title="{"long " * 20}"' in fragments.value("long " * 20, 40)
    assert 'href="/models/late/1"' in fragments.link_of("late/1", "/models/late/1")


def test_a_run_whose_name_cannot_be_seen_is_called_by_the_beginning_of_its_id() -> None:
    for name in ("", " "):
        piece = fragments.called(
            Run(
                id="10c821c7b815482d89a84f8630376fc2", experiment="e", name=name, status="RUNNING", start_ms=0
            )
        )
        assert ">10c821c7<" in piece


def test_who_did_something_is_told_as_a_sentence_names_him() -> None:
    assert fragments.actor("page") == '<bdi title="page">somebody on a page</bdi>'
    assert ">the controller<" in fragments.actor("controller")
    assert ">user:ada<" in fragments.actor("user:ada")
