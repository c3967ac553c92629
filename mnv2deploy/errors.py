"""What can go wrong, one exception class for each documented exit code.

    Mnv2deployError            1   (never raised itself; an exit of 1 is a bug)
    |-- UsageError             2   the command or call was wrong
    |-- InputError             3   a picture, video or data set could not be read
    |-- ModelError             4   a model or checkpoint is invalid
    |   `-- CheckpointError    4   tensors are missing, extra or misshapen
    |-- VerificationError      5   a parity check or accuracy gate failed
    |-- DownloadError          6   no source could be reached, or a hash is wrong
    `-- MissingDependencyError 7   the machine lacks an extra, a provider or a codec

Each message is one or two sentences for a person: what happened, to which file, and what to do.
"""

from __future__ import annotations


class Mnv2deployError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 1


class UsageError(Mnv2deployError):
    """The command line or the call makes no sense."""

    exit_code = 2


class InputError(Mnv2deployError):
    """A picture or another input file could not be read."""

    exit_code = 3


class ModelError(Mnv2deployError):
    """A model file or checkpoint is not valid, or not one this version understands."""

    exit_code = 4


class CheckpointError(ModelError):
    """A checkpoint's tensors do not fit the network they are meant for."""


class VerificationError(Mnv2deployError):
    """A parity check, an accuracy gate or a golden answer failed."""

    exit_code = 5


class DownloadError(Mnv2deployError):
    """Nothing could be downloaded, or what was downloaded has the wrong hash."""

    exit_code = 6


class MissingDependencyError(Mnv2deployError):
    """The machine lacks something: an optional extra, an execution provider, a codec."""

    exit_code = 7
