"""What machine it is, and how much memory a process held."""

import os
import platform
import subprocess
import sys

import pytest

from mnv2deploy.benchmark.machine import processor_name, this_machine
from mnv2deploy.benchmark.memory import peak_memory


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_processor_is_named_as_the_kernel_names_it(tmp_path):
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nmodel name\t: Example 9000 @ 3.1 GHz: fast\nprocessor\t: 1\n")
    assert processor_name(tmp_path) == "Example 9000 @ 3.1 GHz: fast"


def test_a_board_without_a_model_name_is_named_by_its_device_tree(tmp_path):
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd08\n")
    write(tmp_path / "sys/firmware/devicetree/base/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    assert processor_name(tmp_path) == "Raspberry Pi 4 Model B Rev 1.4"


@pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere the system is asked")
def test_a_machine_that_says_nothing_has_an_architecture(tmp_path):
    assert processor_name(tmp_path) in (platform.processor(), platform.machine())


def test_this_machine_is_described():
    machine = this_machine()
    assert machine.processor
    assert 1 <= machine.available_processors <= machine.processors == os.cpu_count()
    assert machine.in_short.startswith(machine.processor)


def peak_of(code):
    """Bytes, as a new process that ran this code says."""
    code += "\nfrom mnv2deploy.benchmark.memory import peak_memory; print(peak_memory())"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_memory_that_was_given_back_counts():
    plain = peak_of("")
    assert 3e6 < plain < 100e6
    assert 90e6 < peak_of("data = b'x' * 100_000_000; del data") - plain < 110e6


def test_a_process_does_not_inherit_its_parents_memory():
    ballast = b"x" * 300_000_000
    assert peak_memory() > len(ballast)
    assert peak_of("") < 100e6
