"""``mnv2deploy inspect``: what a model costs and what its artifact promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.cli.contract_rows import Row, contract_rows
from mnv2deploy.errors import MissingDependencyError, ModelError

if TYPE_CHECKING:
    from mnv2deploy.catalog.cards import Card
    from mnv2deploy.networks.counts import NetworkCounts
    from mnv2deploy.networks.published import Comparison

_FOLDED = "batch norms are folded into the convolutions before them, so the network itself has more"


def inspect(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="An artifact, a model of the catalog, or the path of a card.")
    ],
    layers: Annotated[bool, typer.Option("--layers", help="List every layer.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, with the layers and the whole contract.")
    ] = False,
) -> None:
    """Show a model's parameters, multiply-adds, layers and contract."""
    path = Path(model)
    document = _artifact(path) if path.suffix == ".onnx" else _card(model)
    if json:
        from json import dumps

        typer.echo(dumps(document.to_json()))
    else:
        document.print(layers=layers)


class _Document:
    """What is known of a model: rows for people, fields for programs.

    Attributes:
        rows: Name and value of each line, in order.
        fields: The JSON document, without what the counts say.
    """

    def __init__(self, rows: list[Row], fields: dict[str, Any], counts: NetworkCounts | None, why: str = "") -> None:
        """Takes the counts, or ``why`` there are none."""
        self.rows = rows
        self.fields = fields
        self.counts = counts
        self.why = why
        self.published: tuple[Comparison, ...] = ()

    def print(self, *, layers: bool) -> None:
        rows = [*self.rows, *(_count_rows(self.counts) if self.counts else [("not counted", self.why)])]
        width = max(len(name) for name, _ in rows)
        typer.echo("\n".join(f"{name:<{width}}  {value}" for name, value in rows))
        if self.published:
            typer.echo("\n" + _published_table(self.published))
        if layers and self.counts:
            typer.echo("\n" + _layer_table(self.counts))

    def to_json(self) -> dict[str, Any]:
        import dataclasses

        if self.counts is None:
            return {**self.fields, "parameters": None, "multiply_adds": None, "layers": None, "not_counted": self.why}
        return {
            **self.fields,
            "parameters": self.counts.parameters,
            "batch_norm_parameters": self.counts.batch_norm_parameters,
            "multiply_adds": self.counts.multiply_adds,
            "layers": [dataclasses.asdict(layer) for layer in self.counts.layers],
            "published": [
                {
                    **dataclasses.asdict(comparison.published),
                    "counted": comparison.counted,
                    "difference": comparison.difference,
                    "explanation": comparison.explanation,
                }
                for comparison in self.published
            ],
        }


def _card(name_or_path: str) -> _Document:
    """A model of the catalog: its network is built without weights, so nothing is downloaded."""
    from mnv2deploy.catalog.cards import load_card

    card = load_card(name_or_path)
    if missing := _missing("torch"):
        raise MissingDependencyError(
            f"Counting the layers of {card.name} needs {missing}; install with: pip install 'mnv2deploy[build]'"
        )
    from mnv2deploy.networks.counts import count_card
    from mnv2deploy.networks.published import compare

    counts = count_card(card)
    document = _Document(_card_rows(card), _card_fields(card), counts)
    document.published = compare(card, counts)
    return document


def _card_rows(card: Card) -> list[Row]:
    sources = card.download.sources
    return [
        ("model", f"{card.name}: {card.title}"),
        ("task", f"{card.task}, {len(card.labels)} classes"),
        ("input", f"(N, 3, {card.input.height}, {card.input.width}) float32, NCHW"),
        *([("other inputs", ", ".join(map(str, card.other_inputs)))] if card.other_inputs else []),
        ("weights", f"{card.weights.format}, {card.weights.licence}, {card.weights.origin}"),
        ("download", f"{sources[0].size / 1e6:.1f} MB from {sources[0].url}" if sources else _by_hand(card)),
    ]


def _by_hand(card: Card) -> str:
    where = f"{card.weights.official}, " if card.weights.official else ""
    return f"by hand: {where}then mnv2deploy export {card.name} --weights FILE"


def _card_fields(card: Card) -> dict[str, Any]:
    import dataclasses

    return {
        "model": card.name,
        "kind": "card",
        "task": card.task,
        "input": {"layout": "NCHW", "dtype": "float32", "height": card.input.height, "width": card.input.width},
        "other_inputs": [dataclasses.asdict(size) for size in card.other_inputs],
        "network": dataclasses.asdict(card.network),
        "weights": dataclasses.asdict(card.weights),
        "download_size": card.download.sources[0].size if card.download.sources else None,
    }


def _artifact(path: Path) -> _Document:
    """An artifact: its contract is read by the run road, its graph only where the build extra is there."""
    import dataclasses

    from mnv2deploy.runtime.session import Session

    contract = Session(path).contract
    size = path.stat().st_size
    described = dataclasses.asdict(contract)
    fields = {
        "model": str(path),
        "kind": "artifact",
        "task": contract.task,
        "input": described["input"],
        "size": size,
        "opset": contract.provenance.opset,
        "minimum_onnxruntime": contract.provenance.minimum_onnxruntime,
        "quantization": described["provenance"]["quantization"],
        "contract": described,
    }
    rows = contract_rows(contract, path, size)
    if missing := _missing("onnx", "torch"):
        why = f"parameters, multiply-adds and layers need {missing}; install with: pip install 'mnv2deploy[build]'"
        return _Document(rows, fields, None, why)
    from mnv2deploy.export.inspection import count_artifact

    try:
        return _Document(rows, fields, count_artifact(path))
    except ModelError as error:  # onnxruntime runs it, so the contract is still worth showing
        return _Document(rows, fields, None, str(error))


def _missing(*packages: str) -> str:
    """Names of those that are not installed; imports none."""
    from importlib.util import find_spec

    return ", ".join(package for package in packages if find_spec(package) is None)


def _count_rows(counts: NetworkCounts) -> list[Row]:
    inside = f"{counts.batch_norm_parameters:,} of them in batch norms" if counts.batch_norm_parameters else _FOLDED
    cost = f"{counts.multiply_adds:,} ({_short(counts.multiply_adds)})"
    return [
        ("parameters", f"{counts.parameters:,} ({_short(counts.parameters)}); {inside}"),
        ("multiply-adds", f"{cost}; of convolutions and linear layers, for one picture"),
    ]


def _short(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.2f} M"


def _published_table(comparisons: tuple[Comparison, ...]) -> str:
    from mnv2deploy.cli.table import format_table

    rows = []
    for comparison in comparisons:
        number = comparison.published
        what = f"{number.metric} ({number.dataset})" if number.dataset else number.metric
        values = [f"{number.value:g}", f"{comparison.counted:.4g}", f"{comparison.difference:+.1%}"]
        rows.append([what, *values, number.source])
    table = format_table(["PUBLISHED", "VALUE", "COUNTED", "DIFFERENCE", "SOURCE"], rows, right=[1, 2, 3])
    return "\n".join(
        [table, *(f"{each.published.metric}: {each.explanation}" for each in comparisons if each.explanation)]
    )


def _layer_table(counts: NetworkCounts) -> str:
    from mnv2deploy.cli.table import format_table

    rows = [
        [
            layer.name,
            layer.kind,
            "x".join(map(str, layer.output_shape)),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
        ]
        for layer in counts.layers
    ]
    return format_table(["LAYER", "KIND", "OUTPUT", "PARAMETERS", "MULTIPLY-ADDS"], rows, right=[3, 4])
