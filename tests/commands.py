"""Commands of the project in processes of their own."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
#: For processes that are started outside of the project's folder, or with scripts of the tests.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
_EAGER = """
import runpy, sys
import tf_landmarks
import tensorflow as tf
tf.config.run_functions_eagerly(True)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def train(*arguments: object, eager: bool = True) -> list[str]:
    """The command line of `python -m tf_landmarks.train`; eager, it makes a few steps sooner than graphs are built."""
    start = ["-c", _EAGER] if eager else ["-m"]
    return [sys.executable, *start, "tf_landmarks.train", *map(str, arguments)]
