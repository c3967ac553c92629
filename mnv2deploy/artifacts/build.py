"""A build: recipes become releases, each of them whole, checked and compared with the one before."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnv2deploy.artifacts import watching
from mnv2deploy.artifacts.baseline import Comparison, compare_releases
from mnv2deploy.artifacts.checks import sentence
from mnv2deploy.artifacts.manifest import MANIFEST, Manifest, read_manifest
from mnv2deploy.artifacts.pipeline import NotMadeError, Settings, build_artifacts, step_names
from mnv2deploy.artifacts.recipes import BaselineOptions, Recipe, RecipeError, read_recipe
from mnv2deploy.artifacts.release import describe, publish
from mnv2deploy.artifacts.store import Store
from mnv2deploy.artifacts.toml_lines import line_of
from mnv2deploy.artifacts.watching import LogWatcher, Watcher
from mnv2deploy.cache import cache_dir
from mnv2deploy.errors import Mnv2deployError, VerificationError
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.quiet import quiet_decoders
from mnv2deploy.runtime.processors import available_processors


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A gate that is not passed.

    Attributes:
        message: A sentence.
        line: Of the recipe, where the gate stands.
    """

    message: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a recipe.

    Attributes:
        recipe: Its file.
        name: Of the release.
        status: ``published``; ``unchanged``, the same release was there; ``failed``, a gate; ``error``.
        folder: Of the release; None where nothing was published.
        seconds: It took.
        manifest: What was measured, failed gates and all; None of an error.
        failures: Gates that are not passed.
        comparison: With the baseline; None without one.
        error: What went wrong, in a sentence.
        error_line: Of the recipe, where it stands there; otherwise the first.
        exit_code: Of the error, or of failed gates; 0 of others.
    """

    recipe: Path
    name: str
    status: Literal["published", "unchanged", "failed", "error"]
    seconds: float
    folder: Path | None = None
    manifest: Manifest | None = None
    failures: tuple[Failure, ...] = ()
    comparison: Comparison | None = None
    error: str | None = None
    error_line: int = 1
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What is asked of a build.

    Attributes:
        output: Folder of releases; None for ``build/`` beside each recipe.
        jobs: Recipes at a time; times are taken one at a time all the same.
        force: Make every step again.
        offline: Open no connection.
        baseline: The release before, its manifest, or the folder of several; None compares with none.
        log_level: One of `watching.LEVELS`; of processes that are started.
    """

    output: Path | None = None
    jobs: int = 1
    force: bool = False
    offline: bool = False
    baseline: Path | None = None
    log_level: str = "info"


def store_folder() -> Path:
    """Where steps are kept."""
    return cache_dir() / "steps"


def build_releases(
    paths: Sequence[Path], options: BuildOptions, watcher: Watcher, progress: Progress = SILENT
) -> list[Outcome]:
    """Builds recipes; one that fails does not stop the others.

    Args:
        paths: Of the recipes, of different names.
        options: What is asked.
        watcher: Told of every step.
        progress: Told what a step does.

    Returns:
        One a recipe, in their order.
    """
    store = Store(store_folder(), force=options.force)
    if options.jobs > 1 and len(paths) > 1:
        store.made |= _make_ahead(paths, options)
    outcomes = []
    for path in paths:
        start = time.monotonic()
        settings = Settings(store=store, offline=options.offline, progress=progress, watcher=watcher)
        outcome = _build_release(path, settings, options)
        outcomes.append(dataclasses.replace(outcome, seconds=time.monotonic() - start))
    return outcomes


def plan(path: Path, options: BuildOptions) -> list[tuple[str, bool]]:
    """The steps of a recipe, and whether each is there already. Makes nothing, and opens no connection.

    Args:
        path: Of the recipe.
        options: What is asked.

    Raises:
        UsageError: there is no such recipe, or what it names is not there.
        ModelError: it is malformed, or its card or checkpoint is invalid.
    """
    recipe, watcher = read_recipe(path), Watcher()
    store = Store(store_folder(), force=options.force)
    with contextlib.suppress(NotMadeError):
        build_artifacts(recipe, Settings(store=store, offline=True, watcher=watcher, dry=True))
    return [(name, name in watcher.steps.get(recipe.name, {})) for name in step_names(recipe)]


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Of the whole build: that of the first error, else of failed gates, else 0."""
    errors = [outcome.exit_code for outcome in outcomes if outcome.status == "error"]
    return (errors or [outcome.exit_code for outcome in outcomes if outcome.exit_code] or [0])[0]


def _build_release(path: Path, settings: Settings, options: BuildOptions) -> Outcome:
    """All of a recipe, its release included."""
    name = path.stem
    try:
        recipe = read_recipe(path)
        before = None if options.baseline is None else _find_before(options.baseline, recipe, settings.watcher)
        if options.baseline is None and recipe.baseline != BaselineOptions():
            settings.watcher.warns(recipe.name, "its [baseline] asks for nothing, as there is no --baseline.")
        built = build_artifacts(recipe, settings)
        manifest = describe(built)
        comparison = None if before is None else compare_releases(before, manifest, recipe.baseline)
        if failures := [*_failed_checks(recipe, manifest), *_regressions(recipe, comparison)]:
            common: dict[str, Any] = {"failures": tuple(failures), "exit_code": VerificationError.exit_code}
            return Outcome(
                recipe=path, name=name, status="failed", seconds=0, manifest=manifest, comparison=comparison, **common
            )
        output = options.output or path.parent / "build"
        if any(kept.was_made for kept in settings.watcher.steps.get(recipe.name, {}).values()):
            settings.watcher.makes(recipe.name, "release", "")
        changed = publish(built, manifest, output, settings.store.locks, settings.progress)
        return Outcome(
            recipe=path,
            name=name,
            status="published" if changed else "unchanged",
            seconds=0,
            folder=output / name,
            manifest=read_manifest(output / name),
            comparison=comparison,
        )
    except Mnv2deployError as error:
        said = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        line = error.line if isinstance(error, RecipeError) else 1
        code = error.exit_code
        return Outcome(recipe=path, name=name, status="error", seconds=0, error=said, error_line=line, exit_code=code)
    finally:
        settings.progress.stop()


def _failed_checks(recipe: Recipe, manifest: Manifest) -> list[Failure]:
    return [
        Failure(
            message=sentence(recipe.name, artifact.name, failed),
            line=line_of(recipe.text, f"artifacts[{index}].checks.{failed.name}"),
        )
        for index, artifact in enumerate(manifest.artifacts)
        for failed in artifact.checks
        if not failed.passed
    ]


def _regressions(recipe: Recipe, comparison: Comparison | None) -> list[Failure]:
    line = line_of(recipe.text, "baseline")
    return [Failure(message=f"{recipe.name}: {said}", line=line) for said in comparison.failures] if comparison else []


def _find_before(baseline: Path, recipe: Recipe, watcher: Watcher) -> Manifest | None:
    """The release of this recipe before; None, which is said, where there was none.

    Raises:
        UsageError: there is no such file.
        ModelError: it is no manifest.
    """
    of_several = baseline.is_dir() and not (baseline / MANIFEST).is_file()
    if of_several and not (baseline / recipe.name / MANIFEST).is_file():
        watcher.warns(recipe.name, f"{baseline} has no release of that name, so there is nothing to compare with.")
        return None
    before = read_manifest(baseline / recipe.name if of_several else baseline)
    if before.name != recipe.name:
        watcher.warns(recipe.name, f"{baseline} is the release {before.name}, so there is nothing to compare with.")
        return None
    return before


def _make_ahead(paths: Sequence[Path], options: BuildOptions) -> set[str]:
    """Makes the steps of several recipes at a time, all but times, which other work would spoil.

    What goes wrong is not said here: it goes wrong again when the recipe is built, and is said then.

    Returns:
        The keys of the steps that were made.
    """
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(max(available_processors() // options.jobs, 1))  # torch reads it at its start
    context = multiprocessing.get_context("spawn")  # threads of onnxruntime and torch do not survive a fork
    begin, level = watching.start_logging, (options.log_level,)
    try:
        with ProcessPoolExecutor(options.jobs, mp_context=context, initializer=begin, initargs=level) as pool:
            return set().union(*pool.map(_make_steps, paths, [options] * len(paths)))
    except BrokenProcessPool:  # one was killed, for its memory perhaps; one recipe at a time needs less
        return set()
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads


def _make_steps(path: Path, options: BuildOptions) -> set[str]:
    store = Store(store_folder(), force=options.force)
    settings = Settings(store=store, offline=options.offline, watcher=LogWatcher(announce=True))
    with quiet_decoders(), contextlib.suppress(Mnv2deployError):
        build_artifacts(read_recipe(path), settings, timed=False)
    return store.made
