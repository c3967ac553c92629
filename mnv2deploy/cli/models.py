"""``mnv2deploy models``: what the catalog has."""

from __future__ import annotations

from typing import Annotated

import typer


def models(
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document with everything the cards say.")
    ] = False,
) -> None:
    """List the models of the catalog."""
    from mnv2deploy.catalog.cards import card_names, load_card

    cards = [load_card(name) for name in card_names()]
    if json:
        import dataclasses
        from json import dumps

        typer.echo(dumps({"models": [dataclasses.asdict(card) for card in cards]}, ensure_ascii=False))
        return
    from mnv2deploy.cli.table import format_table

    rows = [
        [
            card.name,
            card.task,
            f"{card.input.height}x{card.input.width}",
            str(len(card.labels)),
            ", ".join(f"{number.value:g} {number.metric} ({number.dataset})" for number in card.published[:1]) or "-",
            card.weights.licence,
            f"{card.download.sources[0].size / 1e6:.0f} MB",
        ]
        for card in cards
    ]
    header = ["NAME", "TASK", "INPUT", "CLASSES", "PUBLISHED", "LICENCE", "DOWNLOAD"]
    typer.echo(format_table(header, rows, right=[3, 6]))
