"""The command line: one Typer app, one thin module a command, and what becomes of an error."""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from mnv2deploy import __version__
from mnv2deploy.errors import MissingDependencyError, Mnv2deployError

# Each is the function of its name in the module of its name; the line is the first of its docstring.
COMMANDS = {
    "models": "List the models of the catalog.",
    "inspect": "Show a model's parameters, multiply-adds, layers and contract.",
    "pull": "Download weights and photo sets into the cache, and check their hashes.",
    "export": "Build a model's ONNX artifact and check it against torch.",
    "classify": "Say what pictures show.",
    "detect": "Detect objects in pictures.",
    "segment": "Say of every pixel of pictures what it belongs to.",
    "evaluate": "Measure how often models are right on labelled pictures, and how sure that is.",
    "bench": "Time models: percentiles, pictures a second, memory, load time.",
    "calib": "Make the pictures to calibrate quantization with, check and hash them.",
    "quantize": "Make an artifact eight-bit, and measure what that costs and gains.",
    "finish": "Put normalization and decoding into an artifact's graph.",
    "sensitivity": "Say which layers lose most in eight bits.",
    "build": "Build recipes into checked releases, making only what changed.",
    "verify": "Check a downloaded release: hashes, contracts, answers.",
}

_SETTINGS: Any = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,  # plain help: rich would take longer to load than all the rest
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class _OnDemand(TyperCommand):
    """A command whose module is loaded when it is called: the list of all must not pay for the options of each."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return load_command(str(self.name)).make_context(info_name, args, parent, **extra)


def load_command(name: str) -> Any:
    """The command of this name, with its options."""
    alone = typer.Typer(**_SETTINGS)
    alone.command(name)(getattr(import_module(f"mnv2deploy.cli.{name}"), name))
    return typer.main.get_command(alone)


def _stand_in() -> None: ...


app = typer.Typer(name="mnv2deploy", no_args_is_help=True, **_SETTINGS)
for _name, _line in COMMANDS.items():
    app.command(_name, cls=_OnDemand, help=_line)(_stand_in)


_INTERRUPTED = 130
# What typer raises on a wrong command line; only its subclasses are public.
_TYPER_ERROR: Any = typer.BadParameter.__mro__[2]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mnv2deploy {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 some input could not be read, 4 invalid model, "
    "5 a check failed, 6 a download failed, 7 something this machine lacks. "
    "Downloads and built artifacts are kept in the folder MNV2DEPLOY_CACHE names, or the platform's cache folder."
)
def mnv2deploy(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take a MobileNetV2 checkpoint to a verified ONNX artifact, and a picture to an answer."""


def main() -> NoReturn:
    """Runs the command line and exits with the documented code.

    An error of ours is a sentence on stderr, and a JSON object on stdout too where ``--json`` was asked for.
    Anything else is a bug: its traceback is shown and the exit code is 1.
    """
    for stream in (sys.stdout, sys.stderr):  # a file's name may hold what the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
        if code == _INTERRUPTED:
            typer.echo("Interrupted.", err=True)
    except SystemExit:  # so typer answers a broken pipe: whoever read our output has seen enough
        code = 0
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        if error.errno == errno.ENOSPC:
            typer.echo(f"Error: the output could not be written: {error.strerror}.", err=True)
        # Python would try to write again on its way out.
        os._exit(0 if error.errno == errno.EPIPE else MissingDependencyError.exit_code)
    except Mnv2deployError as error:
        typer.echo(f"Error: {error}", err=True)
        code = error.exit_code
        _print_json(str(error), code)
    except _TYPER_ERROR as error:
        error.show()  # a wrong option, a missing argument
        code = error.exit_code
        _print_json(error.format_message(), code)
    sys.exit(code)


def _print_json(message: str, code: int) -> None:
    if "--json" in sys.argv[1:]:
        from json import dumps

        typer.echo(dumps({"error": message, "exit_code": code}))
