"""Reads the failures from the HTML of a page about a run."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

_ARTICLE = re.compile(
    r'<article id="(failure-\d+)" aria-labelledby="\1-title">\n(.*?)\n</article>', re.DOTALL
)
_TITLE = re.compile(r'<h3 id="failure-\d+-title"><span class="tag bad">(.*?)</span>(.*?)</h3>', re.DOTALL)
_FOLDED = re.compile(
    r'<details class="(text|output)"( open|)><summary>(.*?) <span class="quiet">(\d+) lines?</span></summary>'
    r"<pre>(.*?)</pre></details>",
    re.DOTALL,
)


@dataclass
class Article:
    """One failure, as a reader sees it."""

    name: str
    #: The section that it stands in.
    section: str
    outcome: str
    title: str
    message: str
    place: str
    command: str
    text: str
    unfolded: bool
    #: (title, content).
    output: list[tuple[str, str]]


def sections_of(source: str) -> list[str]:
    """The headings of the sections, in the order of the page."""
    return [html.unescape(title) for title in re.findall(r"<h2 id=[^>]*>(.*?)</h2>", source)]


def articles_of(source: str) -> list[Article]:
    """All failures, in the order of the page."""
    found = []
    for section in re.findall(r"<section .*?</section>", source, re.DOTALL):
        (heading,) = sections_of(section)
        found += [_article(heading, *match.groups()) for match in _ARTICLE.finditer(section)]
    assert len(found) == source.count("<article")
    return found


def _article(section: str, name: str, inside: str) -> Article:
    title = _TITLE.search(inside)
    assert title
    folded = [
        (kind, bool(opened), _plain(head), _plain(text))
        for kind, opened, head, _, text in _FOLDED.findall(inside)
    ]
    assert all(int(count) == _plain(text).count("\n") + 1 for *_, count, text in _FOLDED.findall(inside))
    texts = [(text, opened) for kind, opened, _, text in folded if kind == "text"]
    assert len(texts) <= 1
    place = _within(r'<p class="place">(.*?)</p>', inside)
    command = _within(r'<code class="command">(.*?)</code>', place)
    return Article(
        name=name,
        section=section,
        outcome=title.group(1),
        title=_plain(title.group(2)).strip(),
        message=_plain(_within(r'<p class="message">(.*?)</p>', inside)),
        place=_plain(re.sub(r'( · )?<code class="command">.*', "", place, flags=re.DOTALL)),
        command=_plain(command),
        text=texts[0][0] if texts else "",
        unfolded=bool(texts) and texts[0][1],
        output=[(head, text) for kind, _, head, text in folded if kind == "output"],
    )


def _within(pattern: str, source: str) -> str:
    found = re.search(pattern, source, re.DOTALL)
    return found.group(1) if found else ""


def _plain(source: str) -> str:
    """Text without our own elements; what is escaped is the tests'."""
    assert set(re.findall(r"<[^>]*>", source)) <= {
        '<b class="bad">',
        "</b>",
        "<code>",
        "</code>",
        '<span class="quiet">',
        "</span>",
    }
    return html.unescape(re.sub(r"<[^>]*>", "", source))
