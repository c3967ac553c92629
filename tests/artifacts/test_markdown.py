"""Escaping: a Markdown and a YAML reader give back the text that went in."""

from __future__ import annotations

import html
import re

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mnv2deploy.artifacts.markdown import as_code, as_text, as_yaml

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# Markdown replaces NUL by U+FFFD; and Python counts more characters as white space than Markdown trims.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
MARKUP = st.text(st.sampled_from("\\`*_[]()<>&|~#$-+=.:!\"' \n1aé"), max_size=20)


def shown(markdown: str) -> str:
    """What a reader sees of one paragraph."""
    page = READER.render(markdown)
    assert re.fullmatch(r"(<p>[^<>]*</p>\n)?", page), page
    return html.unescape(page.removeprefix("<p>").removesuffix("</p>\n"))


def on_one_line(text: str) -> str:
    return " ".join(text.split())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(TEXTS | MARKUP)
@example("---")
@example("1. one")
@example("&lt;b&gt; <b>")
@example("class_logits _a_ __b__")
@example("[a](https://example.org)")
def test_text_is_shown_as_it_is(text):
    assert shown(as_text(text)) == on_one_line(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(MARKUP)
@example("a|b")
@example("\\")
def test_text_and_code_stay_in_their_cells(text):
    page = READER.render(
        f"| one | two | three |\n| - | - | - |\n| {as_text('x' + text + 'x')} | {as_code('x' + text + 'x')} | z |\n"
    )
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page)]
    assert cells == [on_one_line(f"x{text}x"), f"<code>{on_one_line(f'x{text}x')}</code>", "z"]


@pytest.mark.parametrize("text", ["plain", "a`b", "`", "``a`", "a_b*c*<d>&amp;"])
def test_code_is_shown_as_it_is(text):
    assert READER.render(as_code(text)) == f"<p><code>{html.escape(text)}</code></p>\n"


def test_names_stay_readable():
    assert as_text("class_logits of small-fp32.onnx (1.5)") == "class_logits of small-fp32.onnx (1.5)"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(TEXTS | MARKUP)
@example("yes")
@example("\x85\u2028\ufeff\x7f\x1b\t\n")
@example("😀: {a} # no comment")
def test_yaml_reads_the_text_back(text):
    assert yaml.safe_load(f"key: {as_yaml(text)}\n") == {"key": text}
