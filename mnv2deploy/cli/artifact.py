"""Which artifact a command runs: the file it was given, or the catalog's, built on first use."""

from __future__ import annotations

from pathlib import Path

import typer

from mnv2deploy.errors import MissingDependencyError, UsageError

_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors", ".h5", ".keras", ".pb", ".tflite")


def find_artifact(model: str, task: str | None = None, *, offline: bool, quiet: bool) -> Path:
    """Finds the artifact a model's name or path stands for.

    A name of the catalog stands for an artifact in the cache, one for each version of the card and of this program.
    Where it is not there yet it is built, which is said, because it takes a download and some seconds.

    Args:
        model: An artifact's path, or a name of the catalog.
        task: What the command does with it; None does anything.
        offline: Open no connection.
        quiet: Print nothing.

    Raises:
        UsageError: neither a file nor a model of the catalog, or one for another task.
        MissingDependencyError: the artifact is not there and the build extra is missing.
    """
    path = Path(model)
    if path.suffix == ".toml":
        raise UsageError(f"{model} is a card or recipe; make its artifact with 'mnv2deploy export {model}'.")
    if path.suffix in _CHECKPOINTS and path.is_file():
        raise UsageError(f"{model} is a checkpoint; make its artifact with 'mnv2deploy export --from {model}'.")
    if path.is_file() or (path.suffix == ".onnx" and not path.is_dir()):
        return path
    from mnv2deploy.catalog.cards import card_names, load_card, near_name

    if model not in card_names():
        if path.is_dir():
            raise UsageError(f"{model} is a folder, not a model; name an artifact, a file that ends in .onnx.")
        there_are = f"it has {', '.join(card_names())}.{near_name(model)}"
        raise UsageError(f"{model}: there is no such file, and no such model in the catalog; {there_are}")
    cached = cached_artifact(model)
    if not cached.is_file():
        if (
            task is not None and (other := load_card(model).task) != task
        ):  # said before anything is downloaded for nothing
            raise UsageError(f"{model} is a model to {other} with; use 'mnv2deploy {other}', or another --model.")
        _build_once(model, cached, offline=offline, quiet=quiet)
    return cached


def cached_artifact(model: str) -> Path:
    """Where the artifact of a model of the catalog is kept, for this version of its card and of this program."""
    import hashlib

    from mnv2deploy import __version__
    from mnv2deploy.cache import cache_dir
    from mnv2deploy.catalog.cards import card_path

    # What makes the graph is part of the name: an artifact of older code is not taken for one of this.
    package = Path(__file__).parent.parent
    makers = sorted(path for room in ("export", "networks") for path in (package / room).glob("*.py"))
    made_by = b"".join(path.read_bytes() for path in makers)
    key = hashlib.sha256(card_path(model).read_bytes() + __version__.encode() + made_by).hexdigest()[:12]
    return cache_dir() / "artifacts" / f"{model}-{key}.onnx"


def _build_once(model: str, output: Path, *, offline: bool, quiet: bool) -> None:
    """Builds it unless another process does so at this moment, which is waited for."""
    import filelock

    from mnv2deploy.files import make_folder

    make_folder(output.parent)
    with filelock.FileLock(output.with_suffix(".lock")):
        if not output.is_file():
            _build(model, output, offline=offline, quiet=quiet)


def _build(model: str, output: Path, *, offline: bool, quiet: bool) -> None:
    from mnv2deploy.catalog.cards import load_card
    from mnv2deploy.cli.export import run_export
    from mnv2deploy.cli.export_arguments import require_build_extra

    try:
        require_build_extra()
    except MissingDependencyError as error:
        raise MissingDependencyError(
            f"The artifact of {model} is not built yet. {error}, or build it elsewhere with "
            f"'mnv2deploy export {model}' and give it with --model {model}.onnx."
        ) from error
    # Of a model whose file people get themselves, the export says so; nothing will be built.
    if not quiet and load_card(model).download.sources:
        typer.echo(f"Building the artifact of {model}, once; it is kept in {output.parent}.", err=True)
    run_export(model, output, quiet=quiet, offline=offline)
