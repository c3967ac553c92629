"""The same networks, pictures and threads in other inference engines, beside the product, in turns.

    python benchmarks/peers.py [--models NAME-OR-FILE ...] [--engines NAME ...] [--threads 1 2] [--rounds 7]

For each model and number of threads every engine gets a process of its own on exactly so many cores, shows that it
computes what we do (outputs and answers), and is timed in rounds: in each, in an order drawn anew, every engine has a
turn for the model (prepared tensor to raw outputs) and one for answers (picture file to top 5, boxes or full-size
mask). A turn begins when the threads of the one before sleep, and calls during which other programs had the processors
are not counted where there are others. Absolute times differ from minute to minute; what counts are the ratios.

Peers are installed from pinned requirements into environments of their own, made on first use and kept: about 1.2 GB
for openvino, litert and ncnn, and 2.1 GB more to convert to LiteRT. torch, cv2.dnn and the bare onnxruntime run in this
program's own environment. An engine that cannot be installed, cannot run a model or does not agree with us is left out,
with the reason; the others run.
"""

import argparse
import datetime
import json
import os
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from engines import machine, report
from engines.environments import UnavailableError
from engines.measurement import Measurement, Settings
from engines.pictures import pictures_for
from engines.results import Group, as_json
from engines.specs import ENGINES, OURS

from mnv2deploy.cache import cache_dir
from mnv2deploy.cli.artifact import find_artifact
from mnv2deploy.cli.progress import terminal_progress
from mnv2deploy.errors import Mnv2deployError
from mnv2deploy.runtime.processors import available_processors
from mnv2deploy.runtime.session import Session

MODELS = ["mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"]


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    cache, cores = cache_dir() / "peers", available_processors()
    data = os.environ.get("MNV2DEPLOY_DATA")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, help="names of the catalog, or artifacts (.onnx)")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES), help="ours always runs")
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, min(2, cores)}))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.15, help="of a turn, at least")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None, help="pictures; $MNV2DEPLOY_DATA")
    parser.add_argument("--environments", type=Path, default=cache / "environments", help="where peers are installed")
    parser.add_argument("--json", type=Path, help="file to write everything to")
    parser.add_argument("--markdown", type=Path, help="file to write the tables to")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="to write into them")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.seconds < 0:
        parser.error("--rounds should be at least 1, and --seconds not negative")
    if not 1 <= min(arguments.threads) <= max(arguments.threads) <= cores:
        parser.error(f"--threads should lie between 1 and the {cores} cores this process may use")
    return arguments


def main() -> None:
    """Measures and prints; tables on stdout, progress on stderr."""
    arguments = parse_arguments()
    cache = cache_dir() / "peers"
    groups: list[Group] = []
    with TemporaryDirectory() as scratch:
        settings = Settings(
            engines=(OURS, *(name for name in arguments.engines if name != OURS)),
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            scratch=Path(scratch),
            cache=cache,
            environments=arguments.environments.absolute(),
        )
        progress = terminal_progress()
        for model in arguments.models:
            artifact = find_artifact(model, offline=False, quiet=False).absolute()
            contract = Session(artifact, threads=1).contract
            pictures, what = pictures_for(contract.task, arguments.data, Path(scratch))
            for threads in arguments.threads:
                measurement = Measurement(model, artifact, contract, threads, settings, progress)
                groups.append(measurement.run(pictures, what))
                progress.stop()
                print(report.text(groups[-1]), end="\n\n", flush=True)
    print(report.EXPLANATION)
    command = shlex.join(["python", "benchmarks/peers.py", *sys.argv[1:]])
    if arguments.markdown:
        text = report.markdown(groups, machine.describe(), arguments.date, command)
        arguments.markdown.write_text(text, encoding="utf-8")
    if arguments.json:
        about = {"command": command, "date": arguments.date, "machine": machine.describe()}
        document = {**about, "groups": [as_json(group) for group in groups]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (Mnv2deployError, UnavailableError) as error:
        sys.exit(str(error))
