"""What a page must be for people who see it badly, hear it, or hold it in their hand."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.api.rest.serving import Service

FAULTS = """() => {
  const faults = [];
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const name = (node) => `${node.tagName.toLowerCase()} ${(node.textContent || "").trim().slice(0, 40)}`;
  const seen = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  if (all("h1").length !== 1) faults.push(`${all("h1").length} first headings`);
  let level = 1;
  for (const heading of all("h1, h2, h3, h4")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) faults.push(`${name(heading)}: a level is left out`);
    level = own;
  }
  for (const landmark of ["header", "main", "footer"]) {
    if (all(`body > ${landmark}`).length !== 1) faults.push(`no ${landmark}`);
  }
  if (all("nav:not([aria-label])").length) faults.push("a nav without a name");
  if (!document.documentElement.lang || !document.title) faults.push("no language, or no title");
  for (const input of all("input:not([type=hidden])")) {
    if (!input.labels.length) faults.push(`${input.name}: no label`);
  }
  for (const button of all("button, a[href]")) {
    if (!button.textContent.trim()) faults.push(`${button.outerHTML.slice(0, 60)}: no name`);
  }
  for (const drawing of all("svg")) {
    const hidden = drawing.closest("[aria-hidden=true]");
    const named = drawing.getAttribute("role") === "img"
      && (drawing.getAttribute("aria-labelledby") || "").split(" ")
        .every((id) => (document.getElementById(id) || {}).textContent);
    if (!hidden && !named) faults.push("a drawing without a name");
  }
  for (const table of all("table")) {
    if (!table.caption || !table.caption.textContent.trim()) faults.push("a table without a caption");
    if (table.querySelector("th:not([scope])")) faults.push(`${table.caption.textContent}: th without scope`);
    if (!table.closest("[role=region][tabindex='0'][aria-label]")) {
      faults.push(`${table.caption.textContent}: cannot be scrolled by keyboard`);
    }
  }
  for (const bar of all("progress")) {
    if (!bar.getAttribute("aria-label")) faults.push("a progress bar without a name");
  }
  const ids = all("[id]").map((node) => node.id);
  for (const id of new Set(ids)) {
    if (ids.filter((other) => other === id).length > 1) faults.push(`id ${id}: more than once`);
  }
  for (const link of all("a[href^='#']")) {
    if (!document.getElementById(link.hash.slice(1))) faults.push(`${link.hash}: leads nowhere`);
  }
  for (const node of all("[aria-labelledby], [aria-describedby]")) {
    for (const kind of ["aria-labelledby", "aria-describedby"]) {
      for (const id of (node.getAttribute(kind) || "").split(" ").filter(Boolean)) {
        if (!document.getElementById(id)) faults.push(`${kind} ${id}: not there`);
      }
    }
  }

  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  for (const node of all("body *")) {
    const text = Array.from(node.childNodes).some((c) => c.nodeType === 3 && c.textContent.trim());
    if (!text || node.closest("svg, .skip, i") || !seen(node)) continue;
    const style = getComputedStyle(node);
    const [one, other] = [light(rgb(style.color)), light(behind(node))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), heavy = Number(style.fontWeight) >= 700;
    const least = size >= 24 || (heavy && size >= 18.66) ? 3 : 4.5;
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < least) faults.push(`${name(node)}: contrast ${ratio.toFixed(2)}`);
  }

  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    const wide = all("body *").filter((n) => n.getBoundingClientRect().right > width + 1 && seen(n)
      && !n.closest(".scroll") && !n.closest(".skip, i"));
    faults.push(`wider than the window: ${wide.slice(0, 3).map(name).join("; ")}`);
  }
  return faults;
}"""
"""Returns what is wrong with a page, in words: names, headings, landmarks, contrast (WCAG 2.2 AA), width."""


@contextmanager
def looking(browser: Browser, service: Service, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a page of a new browser, and gather what nobody should see: errors and foreign requests."""
    context = browser.new_context(base_url=service.url, **options)
    page, wrong = context.new_page(), []
    page.on("console", lambda said: wrong.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((service.url + "/", "data:")) else wrong.append(asked.url),
    )
    try:
        yield page, wrong
    finally:
        context.close()
