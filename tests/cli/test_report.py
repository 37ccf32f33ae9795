"""The report page: what it says, and what it must never do, whatever the metrics hold."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import Counter
from html.parser import HTMLParser
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import charts
from cli.report import render, write_report
from ledger.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "St Brigid’s University Hospital",
    "Northmoor General",
    "Klinikum Am Weinberg",
    "Hôpital Sainte-Foy",
    "Kilbride Royal Infirmary",
    "Ospedale San Luca",
    "Haukeland Breast Centre",
    "Centro Oncológico del Sur",
    "Westferry Community Trust",
    "Universitätsklinikum Auental",
    "Port Darrow Women’s Hospital",
    "Szpital Miejski nr 4",
)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}\u202egnp.exe\x00\ud800"
METRICS = ("auc", "accuracy", "log_loss")
VOID_ELEMENTS = {"meta", "link", "br", "col", "img", "input", "hr"}


def build_metrics(
    hospitals: int = 4,
    rounds: int = 5,
    *,
    seed: int = 7,
    incidents: dict[tuple[int, int], tuple[str, int | None]] | None = None,
    void: frozenset[int] = frozenset(),
    aborted: frozenset[int] = frozenset(),
) -> dict[str, Any]:
    """Return metrics as a demo writes them; the same arguments give the same metrics.

    Args:
        hospitals: how many members.
        rounds: how many rounds.
        seed: of everything that is drawn.
        incidents: outcome and check by (round, member); others are accepted, or revealed if aborted.
        void: rounds whose accepted updates were too few.
        aborted: rounds that ended by their deadline.
    """
    random = Random(seed)  # noqa: S311  a fixture, no secret
    members = [_hospital(i, random) for i in range(hospitals)]
    skill = [random.uniform(-0.02, 0.006) for _ in members]
    built, progress = [], 0
    for number in range(1, rounds + 1):
        idle = number in void or number in aborted
        progress += not idle
        given_incidents = {m: what for (r, m), what in (incidents or {}).items() if r == number}
        built.append(
            _round(
                number, members, skill, progress, given_incidents, random, number in void, number in aborted
            )
        )
    final = _metrics_at(progress, 0.0)
    rows = sum(m["train_rows"] + m["test_rows"] for m in members)
    return {
        "format": "fedledger/metrics/1",
        "title": "Breast cancer, logistic regression",
        "version": "0.1.0",
        "seed": seed,
        "data": {
            "source": "scikit-learn breast cancer",
            "label": "diagnosis",
            "classes": ["malignant", "benign"],
            "columns": 30,
            "rows": rows,
        },
        "ledger": {
            "chain_id": 131277322940537,
            "consortium": "0x" + random.randbytes(20).hex(),
            "round_ledger": "0x" + random.randbytes(20).hex(),
            "run": 1,
            "terms": random.randbytes(32).hex(),
            "plan": random.randbytes(32).hex(),
            "head": random.randbytes(32).hex(),
            "final_head": "0x" + random.randbytes(32).hex(),
        },
        "strategy": {"name": "fedavg", "parameters": {"weighted": True}},
        "quorum": hospitals // 2 + 1,
        "min_reveals": 2,
        "metric_names": list(METRICS),
        "min_cell": 10,
        "hospitals": members,
        "rounds": built,
        "comparison": [
            {"who": "pooled", "member": None, "auc": 0.9962, "accuracy": 0.979, "log_loss": 0.0714},
            {"who": "federated", "member": None, **final},
            *({"who": "alone", "member": i, **_metrics_at(2, skill[i])} for i in range(hospitals)),
        ],
        "audit": {"holds": True, "checks": 214 * rounds, "seconds": 0.61 * rounds, "problems": []},
    }


def _hospital(index: int, random: Random) -> dict[str, Any]:
    name = NAMES[index] if index < len(NAMES) else f"Hospital {index}"
    rows = random.randrange(40, 260)
    account = "0x" + random.randbytes(20).hex()
    return {
        "member": index,
        "name": name,
        "account": account,
        "train_rows": rows,
        "test_rows": max(rows // 4, 1),
    }


def _metrics_at(progress: int, skill: float) -> dict[str, float]:
    gained = 1 - math.exp(-0.7 * progress)
    auc, accuracy = 0.905 + 0.09 * gained + skill, 0.84 + 0.135 * gained + 1.4 * skill
    return {
        "auc": min(auc, 1.0),
        "accuracy": min(accuracy, 1.0),
        "log_loss": 0.42 - 0.34 * gained - 2 * skill,
    }


def _round(
    number: int,
    members: list[dict[str, Any]],
    skill: list[float],
    progress: int,
    incidents: dict[int, tuple[str, int | None]],
    random: Random,
    void: bool,
    aborted: bool,
) -> dict[str, Any]:
    verdicts = []
    for member in members:
        outcome, check = incidents.get(member["member"], ("revealed" if aborted else "accepted", None))
        stated = None if outcome in ("absent", "not-revealed") else member["train_rows"]
        claims = None if aborted or outcome == "absent" else _metrics_at(progress, skill[member["member"]])
        if claims is not None:
            jitter = {name: value * (1 - abs(random.gauss(0, 0.006))) for name, value in claims.items()}
            enough = member["test_rows"] >= 10
            claims = {"num_examples": member["test_rows"] if enough else 0} | (
                jitter if enough else dict.fromkeys(METRICS)
            )
        verdicts.append(
            {
                "member": member["member"],
                "outcome": outcome,
                "check": check,
                "num_examples": stated,
                "weight": stated if outcome == "accepted" and not void else None,
                "share": None,
                "claim": claims,
            }
        )
    total = sum(v["weight"] or 0 for v in verdicts)
    for verdict in verdicts:
        verdict["share"] = verdict["weight"] / total if verdict["weight"] and not aborted else None
    return {
        "round": number,
        "status": "aborted" if aborted else "certified",
        "void": void,
        "result": None if aborted else random.randbytes(32).hex(),
        "model": None if aborted else random.randbytes(32).hex(),
        "attestations": 0 if aborted else sum(v["claim"] is not None for v in verdicts),
        "disputes": 0,
        "gas": 420_000 + random.randrange(60_000) * len(members),
        "members": verdicts,
        "pooled_test": _metrics_at(progress, 0.0) if progress else None,
        "stages": {
            name: round(random.uniform(0.05, 0.6), 3) for name in ("train", "commit", "reveal", "propose")
        }
        | {"attest": None if aborted else 0.31},
    }


def build_troubled() -> dict[str, Any]:
    """Return twelve hospitals and eight rounds with every outcome, a void and an aborted round."""
    return build_metrics(
        12,
        8,
        incidents={
            (2, 3): ("rejected", 13),
            (3, 3): ("rejected", 14),
            (3, 7): ("withheld", None),
            (4, 5): ("not-revealed", None),
            (4, 9): ("absent", None),
            (5, 9): ("absent", None),
            **{(6, m): ("rejected", 8) for m in range(11)},
            **{(7, m): ("absent", None) for m in range(2, 12)},
        },
        void=frozenset({6}),
        aborted=frozenset({7}),
    )


class Page(HTMLParser):
    """A reader that insists on balanced tags and unique ids, and keeps what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        self.ids += [value or "" for key, value in attrs if key == "id"]
        assert len({key for key, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"{tag} closes itself, which HTML does not know: {attrs}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def values(self, key: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == key]


CASES = {
    "four hospitals": build_metrics(),
    "troubled": build_troubled(),
    "one round": build_metrics(rounds=1),
    "no rounds": build_metrics(rounds=0),
    "nothing certified": build_metrics(rounds=3, aborted=frozenset({1, 2, 3})),
    "only void": build_metrics(rounds=2, void=frozenset({1, 2})),
    "fifty hospitals": build_metrics(50, 12),
    "hundred rounds": build_metrics(3, 100, void=frozenset({40}), aborted=frozenset({41, 90})),
}


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def metrics(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CASES[request.param]


def test_page_is_well_formed_with_unique_ids_and_references_that_lead_somewhere(
    metrics: dict[str, Any],
) -> None:
    page = Page(render(metrics))
    assert len(page.ids) == len(set(page.ids))
    wanted = [value[1:] for value in page.values("href") if value.startswith("#")]
    wanted += [word for value in page.values("aria-labelledby") for word in value.split()]
    wanted += [value[5:-1] for value in page.values("fill") if value.startswith("url(")]
    assert set(wanted) - set(page.ids) == set()


def test_nothing_in_the_page_can_cause_a_request(metrics: dict[str, Any]) -> None:
    text = render(metrics)
    page = Page(text)
    assert [value for _, _, value in page.attributes if "//" in value or "http" in value] == []
    assert {value.partition(":")[0] for value in page.values("href") if not value.startswith("#")} == {"data"}
    assert {"script", "img", "iframe", "object", "embed", "form", "base"}.isdisjoint(page.tags)
    assert {"src", "srcset", "style", "action", "xlink:href"}.isdisjoint(key for _, key, _ in page.attributes)
    assert [key for _, key, _ in page.attributes if key.startswith("on")] == []
    style = text[text.index("<style>") : text.index("</style>")]
    assert re.findall(r"url\(|@import|//", style) == []


def test_policy_allows_the_style_sheet_by_its_hash_and_nothing_else() -> None:
    text = render(build_metrics())
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policies = [
        v for tag, key, v in Page(text).attributes if tag == "meta" and key == "content" and "-src" in v
    ]
    expected = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert policies == [expected]
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_hostile_texts_are_shown_and_never_obeyed() -> None:
    metrics = build_metrics()
    metrics["title"] = metrics["data"]["source"] = metrics["data"]["label"] = HOSTILE
    metrics["data"]["classes"] = [HOSTILE, HOSTILE]
    metrics["strategy"] = {"name": HOSTILE, "parameters": {HOSTILE: HOSTILE}}
    metrics["metric_names"].append(HOSTILE)
    metrics["audit"] |= {"holds": False, "problems": [HOSTILE]}
    metrics["rounds"][0]["status"] = metrics["rounds"][0]["members"][0]["outcome"] = HOSTILE
    metrics["rounds"][1]["result"] = metrics["comparison"][1]["who"] = metrics["hospitals"][2]["account"] = (
        HOSTILE
    )
    for hospital in metrics["hospitals"]:
        hospital["name"] = HOSTILE
    text = render(metrics)
    page = Page(text)
    assert page.tags.keys().isdisjoint({"script", "img"})
    assert [key for _, key, _ in page.attributes if key.startswith("on")] == []
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    text.encode("utf-8")


@given(st.text(min_size=1))
@settings(max_examples=40, deadline=None)
def test_any_name_leaves_the_page_well_formed(name: str) -> None:
    metrics = build_metrics(2, 1)
    metrics["hospitals"][1]["name"] = metrics["title"] = name
    assert Page(render(metrics)).tags == Page(render(build_metrics(2, 1))).tags


@given(st.text(min_size=1).filter(lambda name: name not in METRICS))
@settings(max_examples=40, deadline=None)
def test_a_metric_of_any_name_is_shown_like_the_known_ones(name: str) -> None:
    metrics = build_metrics(2, 1)
    metrics["metric_names"].append(name)
    metrics["rounds"][0]["pooled_test"][name] = metrics["rounds"][0]["members"][0]["claim"][name] = -17.25
    page = Page(render(metrics))
    assert len(page.ids) == len(set(page.ids))
    assert page.text.count("-17.2500") >= 3


def test_same_metrics_give_the_same_bytes() -> None:
    assert render(build_troubled()) == render(build_troubled())


def test_parameters_in_any_order_give_the_same_bytes() -> None:
    one, other = build_metrics(), build_metrics()
    one["strategy"]["parameters"] = {"trim": 0.1, "weighted": True}
    other["strategy"]["parameters"] = {"weighted": True, "trim": 0.1}
    assert render(one) == render(other)


def test_every_hospital_round_and_verdict_is_there() -> None:
    metrics = build_troubled()
    page = Page(render(metrics))
    for hospital in metrics["hospitals"]:
        assert hospital["name"] in page.text
        assert hospital["account"] in page.text
    assert {f"round-{n}" for n in range(1, 9)} <= set(page.ids)
    wanted = Counter(v["outcome"] for r in metrics["rounds"] for v in r["members"])
    cells = Counter(v for tag, key, v in page.attributes if tag == "td" and key == "class" and v in wanted)
    assert cells == wanted
    for number in (6, 7):
        assert (
            f"Round {number} {metrics['rounds'][number - 1]['status'] if number == 7 else 'void'}"
            in page.text
        )


def test_full_digests_of_results_models_and_ledger_are_in_the_text() -> None:
    metrics = build_troubled()
    text = Page(render(metrics)).text
    digests = [r[key] for r in metrics["rounds"] for key in ("result", "model") if r[key]]
    for value in digests + [str(v) for v in metrics["ledger"].values()]:
        assert value in text


def test_a_rejection_names_its_check_in_the_words_of_the_verifier() -> None:
    text = Page(render(build_troubled())).text
    assert "fails check 13: each value is finite" in text
    assert "fails check 14: each value's magnitude is at most the plan's max_abs" in text
    assert "fails check 8: its metadata bind ledger, run, round, member, base model and num_examples" in text


def test_reasons_join_rounds_and_hospitals_of_one_kind() -> None:
    rows = re.findall(r'<tr><th scope="row" class="ranges">.*?</tr>', render(build_troubled()))
    texts = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]
    assert "4–5, 7 absent did not commit in time Universitätsklinikum Auental" in texts
    assert "3 withheld revealed, but nobody could give the payload Centro Oncológico del Sur" in texts
    assert "4 not-revealed committed, and did not reveal in time Ospedale San Luca" in texts
    assert len([text for text in texts if text.startswith("6 rejected fails check 8")]) == 1


def test_an_unknown_check_number_is_shown_as_it_is() -> None:
    metrics = build_metrics(incidents={(1, 0): ("rejected", 199)})
    assert "fails check 199" in Page(render(metrics)).text


def test_an_audit_that_holds_says_so_first_and_gives_the_command() -> None:
    metrics = build_metrics()
    text = Page(render(metrics)).text
    assert text.startswith("Holds · Breast cancer, logistic regression · fedledger")
    assert "The record holds." in text
    assert f"fedledger audit --demo DIR --expect-head {metrics['ledger']['final_head']}" in text


def test_an_audit_that_fails_says_so_first_and_lists_its_problems() -> None:
    metrics = build_metrics()
    metrics["audit"] |= {
        "holds": False,
        "problems": ["check 57 (result model): round 3", "check 39: round 4"],
    }
    text = Page(render(metrics)).text
    assert text.startswith("Does not hold ·")
    assert "The record does not hold." in text
    assert "The record holds." not in text
    assert "check 57 (result model): round 3" in text
    assert "check 39: round 4" in text


def test_nothing_is_called_holding_that_was_not_audited() -> None:
    metrics = build_metrics()
    for audit in (None, {"holds": None, "checks": None, "seconds": None, "problems": []}):
        text = Page(render(metrics | {"audit": audit})).text
        assert text.startswith("Not audited ·")
        assert "The record holds." not in text


def test_where_figures_come_from_is_said_of_each_section_of_figures() -> None:
    text = Page(render(build_metrics())).text
    assert text.count("Computed by the demo, outside the ledger") == 3
    assert text.count("Each hospital’s own claim") == 1
    assert text.count("On the ledger") == 3


def test_metrics_have_four_decimals_and_a_dash_where_there_is_none() -> None:
    metrics = build_metrics(rounds=1)
    metrics["rounds"][0]["pooled_test"] = {"auc": None, "accuracy": 0.5, "log_loss": 12345678.0}
    text = render(metrics)
    row = text[text.index("Federated model on the pooled held-out rows") :]
    assert re.findall(r'<td class="n">([^<]*)</td>', row)[:3] == ["–", "0.5000", "1.235e+07"]


def test_null_wherever_the_format_allows_it_still_gives_a_page() -> None:
    metrics = build_metrics(3, 3)
    metrics["ledger"] = dict.fromkeys(metrics["ledger"])
    metrics["comparison"] = [row | dict.fromkeys(METRICS) for row in metrics["comparison"]]
    for one in metrics["rounds"]:
        one.update(dict.fromkeys(("result", "model", "attestations", "disputes", "gas", "pooled_test")))
        one["stages"] = dict.fromkeys(one["stages"])
        one["members"] = [dict.fromkeys(v) | {"member": v["member"]} for v in one["members"]]
    metrics["hospitals"] = [
        h | {"account": None, "train_rows": None, "test_rows": None} for h in metrics["hospitals"]
    ]
    text = Page(render(metrics)).text
    assert re.search(r"\b(None|nan|inf)\b", text) is None
    assert "No final head is known here" in text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0.9", True])
def test_a_metric_that_is_no_finite_number_is_shown_as_missing(value: object) -> None:
    metrics = build_metrics(2, 2)
    for one in metrics["rounds"]:
        one["pooled_test"] = dict.fromkeys(METRICS, value)
        for verdict in one["members"]:
            verdict["claim"] |= dict.fromkeys(METRICS, value)
    page = Page(render(metrics))
    assert re.search(r"\b(nan|inf)\b", " ".join(value for _, _, value in page.attributes)) is None
    assert re.search(r"\b(nan|inf|True)\b", page.text) is None


def axis_texts(page: str, key: str) -> list[str]:
    chart = re.search(f'<svg role="img" aria-labelledby="{key}-title.*?</svg>', page)
    assert chart is not None
    return re.findall(r"<text.*?</text>", chart[0])


@pytest.mark.parametrize("lie", [1e300, -1e300, 1e6, 17.0, -3.0])
def test_one_hospitals_absurd_claim_does_not_flatten_the_others(lie: float) -> None:
    honest, lied = build_metrics(), build_metrics()
    lied["rounds"][2]["members"][1]["claim"] |= dict.fromkeys(METRICS, lie)
    for place in range(len(METRICS)):
        ours, theirs = (axis_texts(render(metrics), f"claim-{place}-0") for metrics in (honest, lied))
        assert len(ours) == 2
        assert ours == theirs
    assert "A triangle marks a claim beyond the scale." in Page(render(lied)).text
    assert "A triangle" not in Page(render(honest)).text


def test_fifty_hospitals_and_a_hundred_rounds_stay_a_small_file() -> None:
    page = render(build_metrics(50, 100, incidents={(r, r % 50): ("absent", None) for r in range(1, 101)}))
    assert len(page.encode()) < 3_000_000
    assert Page(page).tags["details"] == 101


def test_a_table_has_a_caption_and_every_heading_a_scope(metrics: dict[str, Any]) -> None:
    page = Page(render(metrics))
    assert page.tags["table"] == page.tags["caption"]
    assert page.tags["th"] == len([1 for tag, key, _ in page.attributes if (tag, key) == ("th", "scope")])


def test_every_chart_has_a_name_and_a_description_or_is_hidden_decoration(metrics: dict[str, Any]) -> None:
    text = render(metrics)
    for start, inside in re.findall(r"<svg([^>]*)>(.*?)</svg>", text, re.S):
        named = re.match(r"<title id=[^>]+>.+?</title><desc id=[^>]+>.+?</desc>", inside)
        assert ('role="img"' in start and named) or 'aria-hidden="true"' in start


def test_every_mark_is_told_in_words_beside_its_colour() -> None:
    cells = re.findall(r'<td class="([a-z-]+)"><i>([^<]*)</i>', render(build_troubled()))
    assert len(cells) == 12 * 8
    assert all(words.split(",")[0] == outcome for outcome, words in cells)


def test_rounds_that_changed_nothing_are_marked_in_charts_and_tables() -> None:
    page = Page(render(build_troubled()))
    assert page.values("class").count("idle-mark") == 2 * len(METRICS)
    assert page.values("class").count("idle-bar") == 2
    assert page.values("class").count("state void") == 3
    assert page.values("class").count("state aborted") == 3


def test_without_a_certified_round_the_page_says_so() -> None:
    assert "No round was certified." in Page(render(CASES["nothing certified"])).text
    assert "Every certified round was void" in Page(render(CASES["only void"])).text


def test_metrics_of_another_format_are_refused() -> None:
    with pytest.raises(UsageError, match="format: expected fedledger/metrics/1, got fedledger/metrics/2"):
        render({"format": "fedledger/metrics/2"})


def test_report_is_written_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    metrics = build_metrics()
    write_report(path, metrics)
    assert path.read_bytes() == render(metrics).encode()


def test_a_report_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(tmp_path / "missing" / "report.html", build_metrics())


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=30), st.integers(1, 6))
def test_a_scale_holds_its_values_between_ticks_that_rise(values: list[float | None], intervals: int) -> None:
    scale = charts.Scale.spanning(values, intervals=intervals)
    assert all(scale.holds(v) for v in values if v is not None)
    assert 2 <= len(scale.ticks) <= intervals + 3
    assert scale.ticks == sorted(set(scale.ticks))
    labels = [scale.label(tick) for tick in scale.ticks]
    assert len(set(labels)) == len(labels)


def test_a_line_is_broken_where_a_value_is_missing_and_a_lone_value_is_a_dot() -> None:
    line = (0.1, 0.2, None, 0.4, None, 0.6, 0.7)
    scale = charts.Scale.spanning(line)
    drawn = charts.line_chart("k", "t", "d", line, rounds=range(1, 8), states=["certified"] * 7, scale=scale)
    path = re.search(r'class="line" d="([^"]*)"', drawn)
    assert path is not None
    assert path[1].count("M") == 2
    assert path[1].count("L") == 2
    assert drawn.count('class="point"') == 5


def test_a_hundred_dots_are_left_out_except_the_last_and_lone_ones() -> None:
    line = (0.5, None, *([0.5] * 98))
    states = ["certified"] * 100
    scale = charts.Scale.spanning(line)
    drawn = charts.line_chart("k", "t", "d", line, rounds=range(1, 101), states=states, scale=scale)
    assert drawn.count('class="point"') == 2


def test_fifty_six_members_have_fills_that_differ() -> None:
    fills = [charts.swatch(member) for member in range(56)]
    assert len(set(fills)) == 56
