"""Runs a command of tf_landmarks.

    tf-landmarks train --flagfile=configs/cpu_imm.cfg --data=my_images
    tf-landmarks train --help

`python -m tf_landmarks.train ...` is the same.
"""

import runpy
import sys

import tf_landmarks

COMMANDS = {
    "train": "learn landmarks from images without labels",
    "export": "write a run's latest checkpoint as a SavedModel",
    "fit": "teach a trained model the landmarks of your own annotations",
    "predict": "find landmarks in images or videos",
    "evaluate": "measure a model on annotated images",
}


def main() -> None:
    """Runs the command that the arguments name, or lists the commands."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("help", "-h", "-help", "--help"):
        print(_usage())
    elif name in ("-version", "--version"):
        print(f"tf-landmarks {tf_landmarks.__version__}")
    elif name in COMMANDS:
        # As `python -m` does it: absl shows the help of the module that runs as __main__.
        sys.argv = [sys.argv[0], *arguments]
        runpy.run_module(f"tf_landmarks.{name}", run_name="__main__", alter_sys=True)
    else:
        known = ", ".join(COMMANDS)
        print(f"error: {name!r} is not a command; the commands are {known}", file=sys.stderr)
        sys.exit(2)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: tf-landmarks COMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            "tf-landmarks COMMAND --help explains its flags; tf-landmarks --version says which this is.",
        ]
    )


if __name__ == "__main__":
    main()
