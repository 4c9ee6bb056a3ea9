"""Tests of tools/memory.py: the table of networks, counted and measured."""

import subprocess

import pytest

from tests import commands

pytestmark = [pytest.mark.core, pytest.mark.system]


def run(*arguments: str, fresh: bool = False) -> subprocess.CompletedProcess:
    return commands.finished("tools/memory.py", *arguments, fresh=fresh)


def test_a_network_is_counted_and_its_steps_are_measured():
    # A process that was forked began with the memory of another.
    done = run("--networks=small", "--image_size=96", "--batch_size=64", fresh=True)
    assert done.returncode == 0, done.stderr
    name, parameters, size, memory, peak, before = done.stdout.splitlines()[-1].split(" | ")
    # 1 143 168 elements: conv1 3 x 48 x 48 x 16; levels at 48, 24, 12, 6 of 14, 16, 16, 16 times their cells and
    # channels; 128 for the mean, the linear map and its length each.
    elements = 48**2 * 16 * (3 + 14) + 16 * (24**2 * 32 + 12**2 * 64 + 6**2 * 128) + 3 * 128
    assert (name.strip(), parameters, size) == ("small", "0.72", "2.74")
    assert memory == f"{8 * elements / 2**20:.2f}"
    # Normalisations' inputs are kept for the gradients, a third of all elements: 93 MiB of 64 images.
    assert float(peak) > float(before) + 50
    assert float(before) > 100  # TensorFlow itself


def test_what_is_not_known_is_refused():
    done = run("--networks=resnet34")
    assert done.returncode == 2
    assert "--networks=resnet34: they are hourglass, resnet18, resnet50_half" in done.stderr
    done = run("--image_size=100")
    assert done.returncode == 2 and "--image_size=100 is not a multiple of 32" in done.stderr
