"""The page, the table of the terminal and the JSON say the same."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest
from verdicts import METRIC, a_contract, a_verdict

from mnv2deploy.cli.quantization_report import verdict_report
from mnv2deploy.errors import UsageError
from mnv2deploy.quantization.report import render, write_report
from mnv2deploy.quantization.verdict import conclusion, judge
from mnv2deploy.quantization.verdict_document import HEADER, to_document, to_rows

VOID = {"meta", "br", "rect", "line"}


class Page(HTMLParser):
    """Tables by id, cell by cell; the embedded JSON; whether every tag ends where it should."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._table: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._table = self.tables.setdefault(dict(attrs)["id"], [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")
        elif tag == "script":
            assert dict(attrs)["type"] == "application/json"
            self.scripts.append("")

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self._table[-1][-1] += data
        elif self.open and self.open[-1] == "script":
            self.scripts[-1] += data


VERDICT = a_verdict(metric=METRIC)
FAILURES = judge(VERDICT, 0.5, None)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(VERDICT, a_contract(), FAILURES))


def test_page_table_and_json_agree(page):
    terminal = verdict_report(VERDICT, FAILURES)
    header, *rows = page.tables["summary"]
    assert tuple(header) == HEADER
    assert [tuple(row) for row in rows] == to_rows(VERDICT)
    lines = terminal.splitlines()
    for line, row in zip(lines[1:], rows, strict=False):
        assert re.split(r" {2,}", line.strip()) == [cell for cell in row if cell]
    (embedded,) = page.scripts
    document = json.loads(embedded)
    assert document == to_document(VERDICT, FAILURES)
    shown = {row[0]: row[1:] for row in rows if row[0]}
    metric, speed, size = document["metric"], document["speed"], document["size"]
    assert shown["top-1, %"][:2] == [f"{100 * metric[key]:.2f}" for key in ("float_value", "quantized_value")]
    assert shown["time, ms, 1 thread"][:2] == [f"{speed[key]:.2f}" for key in ("float_ms", "quantized_ms")]
    assert shown["time, ms, 1 thread"][2].startswith(f"{speed['speedup']:.2f} times")
    assert shown["size, MB"][:2] == [f"{size[key] / 1e6:.1f}" for key in ("float_bytes", "quantized_bytes")]
    assert shown["same classes, %"][1] == f"{100 * document['answers']['agreement']:.1f}"
    assert document["conclusion"] == conclusion(VERDICT, FAILURES)
    assert " ".join(terminal.split()).endswith(document["conclusion"])


def test_every_layer_has_a_row_with_its_numbers(page):
    document = json.loads(page.scripts[0])
    rows = page.tables["layers"][1:]
    assert len(rows) == len(document["layers"])
    for row, layer in zip(rows, document["layers"], strict=True):
        assert row[0] == layer["name"]
        assert row[1] == layer["op"] + ("" if layer["quantized"] else ", float32")
        assert row[2] == ("exact" if layer["sqnr_db"] is None else f"{layer['sqnr_db']:.1f}")
        low, high = layer["float_range"]
        assert row[5] == f"{low:.3g} to {high:.3g}"
        covered = layer["covered_range"]
        assert row[6] == ("float32" if covered is None else f"{covered[0]:.3g} to {covered[1]:.3g}")
        assert row[7] == ("" if layer["scale"] is None else f"{layer['scale']:.3g}")


def test_bars_are_as_long_as_their_numbers():
    rows = render(VERDICT, a_contract()).split('id="layers"')[1].split("<tr>")[2:]
    bars = [
        [
            (style, float(x), float(width))
            for style, x, width in re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', row)
        ]
        for row in rows
    ]
    assert bars[0][0] == ("bar", 0, 240)  # 31.24 dB, the best that is finite
    assert bars[1][0][2] == pytest.approx(240 * 8.06 / 31.24, abs=0.1)
    assert bars[2][0] == ("kept", 0, 240)  # exact, and in float32
    # Values from -12.5, the widest, to 9.75, on a square-root scale with 0 in the middle.
    style, left, width = bars[1][1]
    assert (style, left) == ("seen", 0)
    assert width == pytest.approx(120 + 120 * (9.75 / 12.5) ** 0.5, abs=0.1)
    style, left, width = bars[1][2]
    assert (style, left + width) == ("bar", pytest.approx(120 + 120 * (8.775 / 12.5) ** 0.5, abs=0.1))
    assert [style for style, *_ in bars[2]] == ["kept", "seen"]


def test_the_page_needs_nothing_but_itself(page):
    text = render(VERDICT, a_contract(), FAILURES)
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "onload", "onclick"}
    for foreign in ("http:", "https:", "@import", "url(", "//"):
        assert foreign not in text
    assert "prefers-color-scheme: dark" in text


def test_names_are_text_and_never_markup():
    text = render(VERDICT, a_contract(), FAILURES)
    assert text.count("<script") == text.count("</script>") == 1
    assert "<title>mobilenet &lt;b&gt; in eight bits</title>" in text
    assert "stem&lt;/script&gt;" in text
    assert "alert(1)" in text  # the failure is listed
    assert "Some CPU &lt;2 of 4&gt;" in text


def test_the_same_verdict_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / name for name in ("one.html", "other.html")]
    for path in paths:
        write_report(path, VERDICT, a_contract(), FAILURES)
    assert paths[0].read_bytes() == paths[1].read_bytes() == render(VERDICT, a_contract(), FAILURES).encode()
    changed = dataclasses.replace(VERDICT, layers=VERDICT.layers[:-1])
    assert render(changed, a_contract()) != render(VERDICT, a_contract())
    with pytest.raises(UsageError, match=r"gone/one\.html cannot be written"):
        write_report(tmp_path / "gone" / "one.html", VERDICT, a_contract())


def test_the_page_says_how_the_artifact_was_made():
    text = render(VERDICT, a_contract())
    for part in ("Target x86-64", "profile fast", "min-max", "int8 per channel", "sample-photos (7 pictures)"):
        assert part in text
    assert 'class="verdict yes"' in text
    assert 'class="verdict no"' in render(VERDICT, a_contract(), FAILURES)


def test_the_pictures_that_differ_can_be_looked_up():
    page = render(a_verdict(), a_contract())
    assert "Answered differently: 2 of 500 pictures" in page
    assert "<li>a &lt;/script&gt;.jpg</li><li>b.jpg, 25.0 % alike</li>" in page
