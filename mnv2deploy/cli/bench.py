"""``mnv2deploy bench``: how fast artifacts run here, and what they need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mnv2deploy.cli.options import Offline, Quiet
from mnv2deploy.errors import InputError, UsageError

if TYPE_CHECKING:
    from mnv2deploy.benchmark.configurations import Configuration
    from mnv2deploy.benchmark.machine import Machine
    from mnv2deploy.benchmark.measure import Samples
    from mnv2deploy.benchmark.others import Others, OthersWatch
    from mnv2deploy.benchmark.results import PipelineResult, RunResult

R = TypeVar("R", "RunResult", "PipelineResult")
V = TypeVar("V")


def bench(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Artifacts, or models of the catalog.", show_default=False)
    ],
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="N,...", help="Threads of a run.  [default: every processor it may use]", show_default=False
        ),
    ] = None,
    batch: Annotated[str, typer.Option(metavar="N,...", help="Pictures a run.")] = "1",
    provider: Annotated[str, typer.Option(metavar="NAME,...", help="Execution providers of onnxruntime.")] = "cpu",
    seconds: Annotated[float, typer.Option(help="How long to time each configuration.")] = 3.0,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Time decode, preprocess, run and postprocess on real pictures.")
    ] = False,
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="A picture or a folder of them for --pipeline; may be repeated.  [default: five sample photos]",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Show where the time of a run goes, by operator.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the times into this .png or .svg too.", show_default=False)
    ] = None,
    offline: Offline = False,
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Time models: percentiles, pictures a second, memory, load time."""
    from mnv2deploy.benchmark.configurations import combine
    from mnv2deploy.cli.artifact import find_artifact
    from mnv2deploy.cli.bench_pictures import readable_pictures, sample_photos

    thread_counts = _thread_counts(threads)
    batches, providers = _numbers("--batch", batch), _different("--provider", _names("--provider", provider))
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"--seconds: should be a number of seconds greater than 0, not {seconds:g}.")
    if pipeline and batches != [1]:
        raise UsageError("--pipeline takes one picture at a time, as the picture commands do; leave --batch out.")
    if pictures and not pipeline:
        raise UsageError("--pictures is for --pipeline; the network alone takes as long whatever a picture shows.")
    if profile and (pipeline or plot):
        raise UsageError(
            "--profile prints operators, one configuration after the other; it takes no --pipeline or --plot."
        )
    if plot is not None:
        from mnv2deploy.figures import check_figure

        check_figure(plot, "--plot")
    files: list[Path] = []
    failures: list[tuple[str, InputError]] = []
    if pictures:
        files, failures = readable_pictures(pictures)
    found = [(model, find_artifact(model, offline=offline, quiet=quiet)) for model in models]
    run = _Run(combine(found, thread_counts, batches, providers), seconds, plot, quiet=quiet)
    if profile:
        text = run.profile()
    elif pipeline:
        text = run.time_pictures(files or sample_photos(offline=offline, quiet=quiet), failures)
    else:
        text = run.time_networks()
    if json:
        from json import dumps

        typer.echo(dumps(run.document))
    elif not quiet:
        typer.echo(text)
    for _, error in failures:
        typer.echo(f"Error: {error}", err=True)
    if failures:
        typer.echo(f"{len(failures)} of {len(failures) + len(files)} pictures could not be read.", err=True)
        raise typer.Exit(InputError.exit_code)


class _Run:
    """One call of the command.

    Args:
        configurations: What to time.
        seconds: How long, each.
        plot: Draw the times here.
        quiet: No progress.

    Attributes:
        document: What --json prints.
    """

    def __init__(
        self, configurations: Sequence[Configuration], seconds: float, plot: Path | None, *, quiet: bool
    ) -> None:
        import dataclasses

        from mnv2deploy.benchmark.machine import this_machine
        from mnv2deploy.cli.progress import terminal_progress

        self._configurations = configurations
        self._seconds = seconds
        self._plot = plot
        self._progress = terminal_progress(quiet=quiet)
        self._machine = this_machine()
        self.document: dict[str, Any] = {"machine": dataclasses.asdict(self._machine), "seconds": seconds}

    def time_networks(self) -> str:
        """Times the networks alone; returns a table."""
        from mnv2deploy.benchmark.plot import plot_runs
        from mnv2deploy.benchmark.results import run_results
        from mnv2deploy.cli.bench_report import run_report

        return self._time([], run_results, run_report, plot_runs)

    def time_pictures(self, pictures: Sequence[Path], failures: Sequence[tuple[str, InputError]]) -> str:
        """Times the way from these files to the answers; returns a table. ``failures`` are files left out."""
        from mnv2deploy.benchmark.plot import plot_stages
        from mnv2deploy.benchmark.results import pipeline_results
        from mnv2deploy.cli.bench_report import pipeline_report

        self.document["pictures"] = [str(picture) for picture in pictures]
        self.document["failures"] = [{"source": name, "error": str(error)} for name, error in failures]
        return self._time(pictures, pipeline_results, pipeline_report, plot_stages)

    def _time(
        self,
        pictures: Sequence[Path],
        summarise: Callable[[list[Samples]], list[R]],
        report: Callable[[Machine, list[R], Others | None], str],
        draw: Callable[[list[R], Path, str], None],
    ) -> str:
        from mnv2deploy.benchmark.measure import measure
        from mnv2deploy.benchmark.others import OthersWatch

        watch = OthersWatch(self._machine.available_processors)
        results = summarise(
            measure(self._configurations, seconds=self._seconds, pictures=pictures, progress=self._progress)
        )
        others = self._tell_others(watch)  # now that all workers have ended
        self.document["configurations"] = [result.to_json() for result in results]
        text = report(self._machine, results, others)
        if self._plot is None:
            return text
        draw(results, self._plot, self._machine.in_short)
        self.document["plot"] = str(self._plot)
        return f"{text}\n\ndrawn in {self._plot}"

    def _tell_others(self, watch: OthersWatch) -> Others | None:
        others = watch.read()
        self.document["other_programs"] = None if others is None else others.to_json()
        return others

    def profile(self) -> str:
        """Profiles one configuration after the other; returns two tables for each."""
        from mnv2deploy.benchmark.operators import profile
        from mnv2deploy.benchmark.others import OthersWatch
        from mnv2deploy.cli.bench_report import profile_report

        watch = OthersWatch(self._machine.available_processors)
        profiles = []
        self._progress.start("Profiling", len(self._configurations))
        try:
            for configuration in self._configurations:
                profiles.append(profile(configuration, self._seconds))
                self._progress.update(len(profiles))
        finally:
            self._progress.stop()
        others = self._tell_others(watch)
        found = list(zip(self._configurations, profiles, strict=True))
        self.document["configurations"] = [{**one.to_json(), **result.to_json()} for one, result in found]
        return profile_report(self._machine, found, others)


def _numbers(option: str, text: str) -> list[int]:
    """Whole numbers from 1 on, out of ``1,2,4``."""
    parts = _names(option, text)
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"{option} {text}: give whole numbers from 1 on, with commas between them, as in 1,2.")
    return _different(option, [int(part) for part in parts])


def _thread_counts(text: str | None) -> list[int]:
    """Refuses before any process starts what a session would refuse in each of them."""
    from mnv2deploy.runtime.processors import thread_count

    if text is None:
        return [thread_count(None)]
    return [thread_count(count, "--threads") for count in _numbers("--threads", text)]


def _different(option: str, values: list[V]) -> list[V]:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise UsageError(f"{option} names {value} twice; to see how far two equal runs differ, name a MODEL twice.")
    return values


def _names(option: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"{option} {text!r}: something is missing before, after or between the commas.")
    return parts
