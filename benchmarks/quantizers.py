"""Int8 models of the same float32 artifact, made by mnv2deploy and by other quantizers, beside each other.

    python benchmarks/quantizers.py [--models NAME-OR-FILE ...] [--only NAME ...]

Every quantizer gets the same artifact and the same calibration pictures, prepared as the artifact's contract says. Of
each result is told: the metric on labelled pictures, how many answers are float32's, the noise at the first output, the
time in onnxruntime on one thread with all models taking turns, and what quantizing took.

Peers are installed from pinned requirements into environments of their own, made on first use and kept: 290 MB for
onnxruntime, 450 MB for NNCF, 1.8 GB for AMD Quark. What they made is kept too (--kept), so that a second run only
measures. A quantizer that fails is left out, with the reason; the others run.
"""

import argparse
import datetime
import json
import os
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from engines import machine
from engines.environments import UnavailableError
from quantizers import report
from quantizers.calibration import write_tensors
from quantizers.making import Made, environment_python, make_ours, make_with_peer
from quantizers.measuring import measure_models
from quantizers.results import Group
from quantizers.specs import NAMES, OURS, PEERS

from mnv2deploy.cache import cache_dir
from mnv2deploy.cli.artifact import find_artifact
from mnv2deploy.cli.progress import terminal_progress
from mnv2deploy.errors import Mnv2deployError, UsageError
from mnv2deploy.runtime.session import Session

MODELS = ["mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"]
# Below MNV2DEPLOY_DATA: calibration pictures and labelled set of a task.
FOLDERS = {
    "classify": ("imagenet/calib/images", "imagenet/val"),
    "detect": ("coco/calib/images", "coco/val"),
    "segment": ("voc/calib/images", "voc/val"),
}


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    cache = cache_dir()
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="\n  ".join(["quantizers:", *NAMES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", nargs="+", default=MODELS, help="names of the catalog, or float32 artifacts (.onnx)")
    add("--only", nargs="+", default=list(NAMES), choices=NAMES, metavar="NAME", help="quantizers, see below")
    add("--ours", nargs="+", type=Path, default=[], help="ready int8 artifacts, beside the model of the same name")
    add("--calib", nargs="+", type=Path, help="a folder of pictures for each model; below $MNV2DEPLOY_DATA by default")
    add("--eval", nargs="+", type=Path, help="a labelled set for each model; below $MNV2DEPLOY_DATA by default")
    add("--limit", type=int, help="of labelled pictures, evenly spaced")
    add("--seconds", type=float, default=10, help="of timing, for each model")
    add("--environments", type=Path, default=cache / "peers" / "environments", help="where peers are installed")
    add("--kept", type=Path, default=cache / "peers" / "quantized", help="where quantized models are kept")
    add("--json", type=Path, help="file to write everything to")
    add("--markdown", type=Path, help="file to write the tables to")
    add("--date", default=datetime.date.today().isoformat(), help="to write into them")
    arguments = parser.parse_args()
    data = os.environ.get("MNV2DEPLOY_DATA")
    for name in ("calib", "eval"):
        given = getattr(arguments, name)
        if given is None and not data:
            parser.error(f"--{name} is needed, or MNV2DEPLOY_DATA has to name a folder of data sets")
        if given is not None and len(given) != len(arguments.models):
            parser.error(f"--{name} should name one for each of the {len(arguments.models)} models")
    if arguments.seconds <= 0 or (arguments.limit is not None and arguments.limit < 1):
        parser.error("--seconds and --limit should be greater than 0")
    return arguments


def quantize_all(
    artifact: Path, calibration: Path, arguments: argparse.Namespace, scratch: Path
) -> tuple[list[Made], dict[str, str], int]:
    """Has everybody quantize one artifact.

    Returns:
        The models; why others are missing; and the number of calibration pictures.
    """
    folder = arguments.kept.absolute() / artifact.stem
    folder.mkdir(parents=True, exist_ok=True)
    tensors = scratch / "calibration.npy"
    count = write_tensors(calibration, Session(artifact, threads=1).contract, tensors)
    models: list[Made] = []
    left_out: dict[str, str] = {}
    for name in arguments.only:
        print(f"{artifact.stem}: {name}", file=sys.stderr, flush=True)
        try:
            if name in PEERS:
                spec = PEERS[name]
                python = environment_python(spec, arguments.environments.absolute())
                models.append(make_with_peer(name, spec, artifact, tensors, folder, python))
            elif not arguments.ours:
                models.append(make_ours(name, name.removeprefix(f"{OURS}-"), artifact, calibration, folder))
        except UnavailableError as error:
            left_out[name] = str(error)
    return models, left_out, count


def ready(artifacts: list[Path], ours: list[Path]) -> dict[Path, list[Made]]:
    """For each float32 artifact, those of the given ones that say they are of the same model.

    Raises:
        UsageError: one is of none of these models.
    """
    models = {artifact: Session(artifact, threads=1).contract.provenance.model for artifact in artifacts}
    found: dict[Path, list[Made]] = {artifact: [] for artifact in artifacts}
    for path in ours:
        provenance = Session(path, threads=1).contract.provenance
        of_same = [artifact for artifact, model in models.items() if model == provenance.model]
        if not of_same:
            raise UsageError(f"--ours {path} is a {provenance.model}, which is not among the --models.")
        settings = f"profile {provenance.quantization.profile}" if provenance.quantization else "as given"
        for artifact in of_same:
            found[artifact].append(Made(path.stem, settings, path))
    return found


def main() -> None:
    """Quantizes, measures and prints; tables on stdout, progress on stderr."""
    arguments = parse_arguments()
    data = Path(os.environ.get("MNV2DEPLOY_DATA", ""))
    groups: list[Group] = []
    artifacts = [find_artifact(model, offline=False, quiet=False).absolute() for model in arguments.models]
    given = ready(artifacts, arguments.ours)
    for index, (model, artifact) in enumerate(zip(arguments.models, artifacts, strict=True)):
        calibration, labelled = (data / part for part in FOLDERS[Session(artifact, threads=1).contract.task])
        calibration = (arguments.calib[index] if arguments.calib else calibration).absolute()
        labelled = arguments.eval[index] if arguments.eval else labelled
        with TemporaryDirectory() as scratch:
            models, left_out, count = quantize_all(artifact, calibration, arguments, Path(scratch))
        progress = terminal_progress()
        rows, pictures = measure_models(
            artifact,
            [*given[artifact], *models],
            labelled,
            limit=arguments.limit,
            seconds=arguments.seconds,
            progress=progress,
        )
        progress.stop()
        groups.append(
            Group(model=model, labelled=labelled, pictures=pictures, calibration=count, rows=rows, left_out=left_out)
        )
        print(report.text(groups[-1]), end="\n\n", flush=True)
        write(groups, arguments)
    print(report.EXPLANATION)


def write(groups: list[Group], arguments: argparse.Namespace) -> None:
    """Writes the files that were asked for; after every model, since one can take hours."""
    command = shlex.join(["python", "benchmarks/quantizers.py", *sys.argv[1:]])
    if arguments.markdown:
        text = report.markdown(groups, machine.describe(), arguments.date, command)
        arguments.markdown.write_text(text, encoding="utf-8")
    if arguments.json:
        about = {"command": command, "date": arguments.date, "machine": machine.describe()}
        document = {**about, "groups": [group.to_json() for group in groups]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (Mnv2deployError, UnavailableError) as error:
        sys.exit(str(error))
