"""Links lead somewhere, and pages can be reached."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import BY_NAME, ROOT, anchors, links, prose


@pytest.mark.parametrize("name", BY_NAME)
def test_links_of_a_page_lead_somewhere(name: str) -> None:
    page = BY_NAME[name]
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name}: {link}"
        assert target.is_relative_to(ROOT), f"{name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{name}: {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            todo += [
                (page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link
            ]
    assert {str(page.relative_to(ROOT)) for page in reached} >= set(BY_NAME)


def test_the_index_names_every_page_but_single_decisions() -> None:
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / link).resolve() for link in links(index)} | {index}
    single = ROOT / "docs" / "explanation" / "decisions"
    pages = {page for page in BY_NAME.values() if page.is_relative_to(ROOT / "docs")}
    assert {page for page in pages if page.parent != single or page.name == "README.md"} == named


@pytest.mark.parametrize("name", BY_NAME)
def test_a_page_has_one_title_and_no_place_of_somebodys_machine(name: str) -> None:
    text = prose(BY_NAME[name])
    assert sum(line.startswith("# ") for line in text.splitlines()) == 1
    assert not {"TODO", "FIXME", "localhost"} & set(re.findall(r"\w+", text))
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work)\b", text)
