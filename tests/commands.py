"""Commands of the project in processes of their own."""

import functools
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import unittest.mock
from collections.abc import Sequence
from multiprocessing import forkserver

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


def finished(
    *command: object, fresh: bool = False, cwd: pathlib.Path = ROOT
) -> subprocess.CompletedProcess:
    """Runs a command of the project in a process of its own, and returns what it says and how it ends.

    Args:
        command: As Python takes it, which may stand before it: `-m` and a module, `-c` and code, or a script.
        fresh: Whether a new interpreter begins, as where a user types the command: once for each command is enough.
            Else the process is a fork of one that has imported TensorFlow and the project, the seven seconds of which
            are more than what most commands take beside.
        cwd: The folder that it runs in.
    """
    command = [str(part) for part in command]
    if command[0] == sys.executable:
        command = command[1:]
    if fresh:
        return subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, check=False, cwd=cwd, env=ENVIRONMENT
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        streams = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        process = _forks().Process(target=_become, args=(command, str(cwd), streams))
        process.start()
        process.join()
        out, err = (pathlib.Path(path).read_text() for path in streams)
    return subprocess.CompletedProcess(command, process.exitcode, out, err)


def run(*command: object, code: int = 0, fresh: bool = False, cwd: pathlib.Path = ROOT) -> str:
    """All that a command says, which must end with an exit code; see `finished`."""
    done = finished(*command, fresh=fresh, cwd=cwd)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@functools.cache
def _forks() -> multiprocessing.context.ForkServerContext:
    """Starts the process that is forked, once. It is none that runs tests: those have threads, which no fork would have."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    with unittest.mock.patch.dict(os.environ, ENVIRONMENT):
        forkserver.ensure_running()
    return context


def _become(command: Sequence[str], cwd: str, streams: Sequence[str]) -> None:
    """Does in this process what a new interpreter would do with a command."""
    for stream, path in zip((sys.stdout, sys.stderr), streams, strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, stream.fileno())
        os.close(file)
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    os.chdir(cwd)
    kind, *rest = command
    if kind == "-m":
        sys.argv, sys.path[0] = rest, cwd
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv, sys.path[0] = [kind, *rest[1:]], cwd
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv, sys.path[0] = command, os.path.dirname(os.path.join(cwd, kind))
        runpy.run_path(kind, run_name="__main__")
