"""``mnv2deploy models``: what the catalog has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnv2deploy.errors import UsageError


def models(
    spectrum: Annotated[
        bool, typer.Option("--spectrum", help="List the published sizes of MobileNetV2 instead: accuracy and cost.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the sizes of --spectrum into an SVG or PNG.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document with everything the cards say.")
    ] = False,
) -> None:
    """List the models of the catalog."""
    if spectrum:
        _spectrum(plot, json=json)
    elif plot is not None:
        raise UsageError("--plot draws the sizes of --spectrum; give both.")
    else:
        _models(json=json)


def _models(*, json: bool) -> None:
    from mnv2deploy.catalog.cards import card_names, load_card

    cards = [load_card(name) for name in card_names()]
    if json:
        import dataclasses
        from json import dumps

        typer.echo(dumps({"models": [dataclasses.asdict(card) for card in cards]}))
        return
    from mnv2deploy.cli.table import format_table

    rows = [
        [
            card.name,
            card.task,
            str(card.input),
            str(len(card.labels)),
            ", ".join(f"{number.value:g} {number.metric} ({number.dataset})" for number in card.published[:1]) or "-",
            card.weights.licence,
            f"{card.download.sources[0].size / 1e6:.0f} MB" if card.download.sources else "by hand",
        ]
        for card in cards
    ]
    header = ["NAME", "TASK", "INPUT", "CLASSES", "PUBLISHED", "LICENCE", "DOWNLOAD"]
    typer.echo(format_table(header, rows, right=[3, 6]))
    if any(not card.download.sources for card in cards):
        typer.echo(
            "\nby hand: 'mnv2deploy inspect NAME' says where; 'mnv2deploy export NAME --weights FILE' builds it."
        )


def _spectrum(plot: Path | None, *, json: bool) -> None:
    from mnv2deploy.catalog.spectrum import load_spectrum

    sizes = load_spectrum()
    if plot is not None:
        from mnv2deploy.catalog.spectrum_plot import plot_spectrum

        plot_spectrum(sizes, plot)
    if json:
        import dataclasses
        from json import dumps

        typer.echo(dumps({"spectrum": [dataclasses.asdict(size) for size in sizes]}))
        return
    from mnv2deploy.cli.table import format_table

    rows = [
        [
            str(size.width_multiplier),
            str(size.resolution),
            f"{size.top1:.1f}",
            f"{size.top5:.1f}",
            f"{size.multiply_adds_millions:g} M",
            f"{size.parameters_millions:.2f} M",
        ]
        for size in sizes
    ]
    header = ["WIDTH", "RESOLUTION", "TOP-1", "TOP-5", "MULTIPLY-ADDS", "PARAMETERS"]
    typer.echo(format_table(header, rows, right=range(6)))
    for source in dict.fromkeys(size.source for size in sizes):
        typer.echo(f"Source: {source}")
