"""A page is read as its reader sees it, and a statement of the same kind with other figures is found in it."""

from __future__ import annotations

import pytest

from kokoro_lab.reports.page.page_text import contradictions, first_difference, page_text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One <b>two</b>,\n three</p>", "One two , three"),
        ("a<!-- b -->c<style>d{}</style><script>e()</script><template>f</template>g", "ac g"),
        ("a<div hidden><div>b</div>c</div>d", "a d"),
        ('a<p style="color:red; Display: None">b</p>c', "a c"),
        ("a<div hidden/>b", "a"),
        ("a<br hidden>b &lt;c&gt;", "a b <c>"),
        ("<svg><path d='x'/><text>1.5</text></svg>", "1.5"),
    ],
)
def test_only_what_is_shown_is_read(markup: str, text: str) -> None:
    assert page_text(markup) == text


def test_the_first_difference_shows_both_sides() -> None:
    page = "The short text takes 120 ms on this machine."
    assert first_difference("takes 120 ms on this", page) == ""
    words = first_difference("The short text takes 99 ms on this machine.", page)
    assert "it says 'The short text takes 120 ms" in words and "takes 99 ms on this machine." in words


def test_statements_of_the_same_kind_are_found_whatever_their_numbers() -> None:
    statement = "Of 61 published claims, 4 were compared."
    assert contradictions(statement, f"Before. {statement} After.") == []
    assert contradictions(statement, "Of  61 published claims , 4 were compared.") == [], "spaces of markup"
    (found,) = contradictions(statement, f"Of 61 published claims, 40 were compared. {statement}")
    assert found.startswith("Of 61 published claims, 40 were")
    assert contradictions(statement, "Of 70 published claims, 4 were compared.") != []
    assert contradictions(statement, "Of 70 published claims, 4 were compared.", [statement.replace("61", "70")]) == []
