"""What there is to be had: model cards, photo sets, labels, and where each can be downloaded."""

from __future__ import annotations

from mnv2deploy.catalog.sources import Download


def resolve_downloads(name_or_path: str) -> tuple[Download, ...]:
    """What ``mnv2deploy pull NAME`` fetches: a model's weights, or a photo set.

    Args:
        name_or_path: A name of the catalog, or a card or recipe of your own by the path of its TOML.

    Raises:
        UsageError: there is no such thing.
        ModelError: the file is malformed.
    """
    from pathlib import Path

    from mnv2deploy.catalog import cards, photos
    from mnv2deploy.errors import UsageError

    if name_or_path in photos.photo_set_names():
        return photos.load_photos(name_or_path)
    if Path(name_or_path).suffix == ".toml":
        is_card = "weights" in cards.read_toml(Path(name_or_path))
        return (cards.load_card(name_or_path).download,) if is_card else photos.load_photos(name_or_path)
    if name_or_path not in cards.card_names():
        known = ", ".join([*cards.card_names(), *photos.photo_set_names()])
        raise UsageError(f"There is nothing named {name_or_path!r} to pull; the catalog has {known}.")
    return (cards.load_card(name_or_path).download,)


def resolve_labels(name_or_path: str) -> dict[str, int]:
    """The class id of each file that ``mnv2deploy pull NAME`` fetches, where it is a photo set with labels.

    Args:
        name_or_path: As `resolve_downloads` takes it, and has found.
    """
    from pathlib import Path

    from mnv2deploy.catalog import cards, photos

    is_recipe = Path(name_or_path).suffix == ".toml" and "weights" not in cards.read_toml(Path(name_or_path))
    return photos.load_labels(name_or_path) if is_recipe or name_or_path in photos.photo_set_names() else {}
