"""A verdict as one HTML file: nothing in it from elsewhere, and the same bytes for the same verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mnv2deploy.contract import Contract
from mnv2deploy.files import write_atomically
from mnv2deploy.quantization.report_layers import layer_table
from mnv2deploy.quantization.verdict import Verdict, conclusion, is_worth_shipping
from mnv2deploy.quantization.verdict_document import HEADER, to_document, to_rows

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5d6b7a; --line: #d9dfe6; --paper: #fff; --card: #f5f7f9;
  --good: #2f7d5b; --bad: #b3452c; --bar: #4477aa; --seen: #b9c9da; --float: #8c8c8c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --soft: #98a5b3; --line: #36414d; --paper: #14191f;
  --card: #1c232b; --good: #6fc59b; --bad: #ee8a6f; --bar: #6d9fd0; --seen: #3f5468; --float: #8c8c8c; } }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2.4rem 0 .4rem; }
p { margin: .3rem 0 .8rem; max-width: 48rem; } .soft { color: var(--soft); }
.verdict { border-left: 4px solid var(--good); background: var(--card); padding: .8rem 1rem; margin: 1.2rem 0;
  font-size: 1.05rem; max-width: none; } .verdict.no { border-color: var(--bad); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .22rem 1.1rem .22rem 0; vertical-align: middle; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: .8rem; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; } .summary td { border-bottom: 1px solid var(--line); }
.layers td { font-size: .85rem; padding-top: .08rem; padding-bottom: .08rem; }
.layers tr:hover { background: var(--card); }
svg { display: block; } .bar { fill: var(--bar); } .seen { fill: var(--seen); } .kept { fill: var(--float); }
.axis { stroke: var(--line); }
@media print { body { max-width: none; padding: 0; } }
"""


_READING = (
    "SQNR is of each layer's output, after its activation, with the errors of all layers before it: 10 dB less is ten "
    "times the noise. The pale bar of a range is what the float network's values spanned, the strong one what eight "
    "bits cover, on a square-root scale. Grey bars are of layers left in float32."
)

# Pictures that are listed by name; the JSON has all.
_MOST_DIFFERING = 20


def write_report(path: Path, verdict: Verdict, contract: Contract, failures: Sequence[str] = ()) -> None:
    """Writes the report; it holds the same table the terminal shows, and the same JSON.

    Args:
        path: Of the HTML file; replaced where it exists.
        verdict: What was measured.
        contract: Of the quantized artifact.
        failures: What `verdict.judge` found.

    Raises:
        UsageError: the file cannot be written.
    """
    write_atomically(path, render(verdict, contract, failures).encode())


def render(verdict: Verdict, contract: Contract, failures: Sequence[str] = ()) -> str:
    """The HTML; arguments as of `write_report`."""
    name = escape(contract.provenance.model)
    mood = "yes" if is_worth_shipping(verdict, failures) else "no"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{name} in eight bits</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            f"<h1>{name} in eight bits</h1>",
            f'<p class="soft">{escape(_origin(contract))}</p>',
            f'<p class="verdict {mood}">{escape(conclusion(verdict, failures))}</p>',
            _summary(verdict),
            f'<p class="soft">{escape(_conditions(verdict))}</p>',
            *_differing(verdict),
            *_unread(verdict),
            "<h2>Layer by layer</h2>",
            f'<p class="soft">{_READING}</p>',
            layer_table(verdict.layers),
            f'<script type="application/json" id="verdict">{_embedded(verdict, failures)}</script>',
            "</body>",
            "</html>",
            "",
        ]
    )


def _origin(contract: Contract) -> str:
    quantization = contract.provenance.quantization
    if quantization is None:
        return f"A model to {contract.task} with."
    pictures = f"{quantization.calibration} ({quantization.calibration_pictures} pictures)"
    if quantization.calibration_pictures == 0:
        pictures = quantization.calibration
    return (
        f"A model to {contract.task} with. Target {quantization.target}, profile {quantization.profile}, ranges by "
        f"{quantization.method}, weights {quantization.weights}, activations {quantization.activations}, "
        f"calibration {pictures}, {quantization.format}."
    )


def _summary(verdict: Verdict) -> str:
    """The table of the terminal."""
    classes = ["", ' class="number"', ' class="number"', ""]
    header = "".join(f"<th{style}>{escape(cell)}</th>" for style, cell in zip(classes, HEADER, strict=True))
    rows = [
        "".join(f"<td{style}>{escape(cell)}</td>" for style, cell in zip(classes, row, strict=True))
        for row in to_rows(verdict)
    ]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="summary" id="summary">\n<thead><tr>{header}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _conditions(verdict: Verdict) -> str:
    busy = " Other programs were busy meanwhile; ratios hold better than times." if verdict.speed.disturbed else ""
    return f"Times: {verdict.speed.machine}; medians, with the quartiles of the rounds in brackets.{busy}"


def _differing(verdict: Verdict) -> list[str]:
    """The pictures to look at first."""
    differing = verdict.answers.differing
    if not differing:
        return []
    items = "".join(
        f"<li>{escape(one.picture)}" + (f", {100 * one.agreement:.1f} % alike" if one.agreement else "") + "</li>"
        for one in differing[:_MOST_DIFFERING]
    )
    title = f"Answered differently: {len(differing)} of {verdict.answers.pictures} pictures"
    more = f", the {_MOST_DIFFERING} least alike" if len(differing) > _MOST_DIFFERING else ""
    return [f"<details><summary>{title}{more}</summary>\n<ul>{items}</ul></details>"]


def _unread(verdict: Verdict) -> list[str]:
    items = "".join(f"<li>{escape(failure.error)}</li>" for failure in verdict.answers.failures)
    return [f"<h2>Pictures left out</h2>\n<ul>{items}</ul>"] if items else []


def _embedded(verdict: Verdict, failures: Sequence[str]) -> str:
    """JSON that no name in it can end early: a browser looks for ``</script``."""
    text = json.dumps(to_document(verdict, failures), sort_keys=True, allow_nan=False)
    return text.replace("<", "\\u003c")
