"""What all commands share: plain lines instead of log prefixes, errors as one clear message."""

import contextlib
import dataclasses
import logging as python_logging
import os
import re
import sys
import textwrap
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence

from absl import app, flags, logging

from tf_landmarks.errors import UserError
from tf_landmarks.training.preemption import EXIT_CODE, InterruptedTraining, WorkerLostError

if typing.TYPE_CHECKING:  # commands that take no such options start without TensorFlow
    from tf_landmarks.data.cropping import Cropping
    from tf_landmarks.inference.exported import ExportedModel
    from tf_landmarks.options import RunOptions

_TALKATIVE = ("tensorflow", "numexpr")  # libraries


def run(main: Callable, groups: Mapping[str, Sequence[str]] | None = None) -> None:
    """Parses flags and runs a command's `main`, with log lines on standard output.

    Args:
        main: Takes what is left of the command line.
        groups: What `--help` shows of a command with very many flags, by headings; else all flags of its module.
    """
    if groups and {"--help", "-help", "-h", "-?"} & set(sys.argv[1:]):
        print(grouped_help(sys.modules["__main__"].__doc__, groups))
        sys.exit(0)

    def start(argv: list[str]) -> None:
        if len(argv) > 1:  # without its --data= a folder would be passed over without a word
            with plain_errors():
                raise UserError(
                    f"not a flag: {' '.join(argv[1:])}; values follow a flag's name, as in --data={argv[1]}, and "
                    "--help shows the flags"
                )
        expand_home(flags.FLAGS)
        main(argv)

    sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold any bytes
    logging.use_absl_handler()
    handler = logging.get_absl_handler()
    handler.python_handler.stream = sys.stdout
    handler.addFilter(_is_worth_showing)
    python_logging.getLogger("tensorflow").setLevel(python_logging.ERROR)
    handler.setFormatter(python_logging.Formatter("%(message)s"))
    logging.set_verbosity(logging.INFO)
    app.run(start)


def grouped_help(about: str, groups: Mapping[str, Sequence[str]]) -> str:
    """Returns what a command does, and its most important flags under headings, with their defaults."""
    lines = [about.strip()]
    for heading, names in groups.items():
        lines += ["", f"{heading}:"]
        for name in names:
            flag = flags.FLAGS[name]
            default = "" if flag.default in (None, "", False) else f" (default: {flag.default})"
            lines.append(
                textwrap.fill(
                    f"--{name}: {flag.help}{default}",
                    100,
                    initial_indent="  ",
                    subsequent_indent="      ",
                )
            )
    return "\n".join([*lines, "", "--helpfull shows all flags, those of each method too."])


def expand_home(values: flags.FlagValues) -> None:
    """Puts the home folder for `~` in front of the paths that flags hold: shells leave `--data=~/x` as it is.

    What begins with `~/`, or `~name/`, is a path, but for patterns.
    """

    def expand(value):
        if isinstance(value, list):
            return [expand(inner) for inner in value]
        is_path = isinstance(value, str) and re.match(r"~\w*(/|$)", value)
        return os.path.expanduser(value) if is_path else value

    for name in values:
        before = values[name].value
        after = before if name.endswith("pattern") else expand(before)
        if after != before:
            values[name].value = after


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turns the errors that a user can mend into a message and exit code 2, without a traceback.

    These are `UserError` and errors of the operating system. Any other is a fault of this project: it keeps
    its traceback, a line says whose it is, and the exit code is 1.
    """
    try:
        yield
    except InterruptedTraining as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(EXIT_CODE)
    except WorkerLostError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(2)  # the interpreter would wait for threads that wait for the other worker
    except KeyboardInterrupt:
        print(
            "interrupted; the same command starts anew, a training from its last checkpoint",
            file=sys.stderr,
        )
        sys.exit(130)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        traceback.print_exc()
        print(
            f"error: {type(error).__name__} inside tf_landmarks, which is a fault of ours and not of your "
            "command; please report it with the lines above",
            file=sys.stderr,
        )
        sys.exit(1)


def define_crop_flags() -> "Callable[..., Cropping]":
    """Defines --crop and --boxes of a command that uses models, and returns what makes of these how pictures are cut."""
    crop = flags.DEFINE_enum(
        "crop",
        "as_trained",
        ["as_trained", "auto", "none"],
        "auto: cut out of each picture what moves before a still background; none: show the model whole pictures; "
        "as_trained: what was done to those that it learned from",
    )
    boxes = flags.DEFINE_string(
        "boxes",
        "",
        "a table of boxes to cut out instead: file,frame,left,top,width,height in pixels",
    )

    def resolve(*models: "ExportedModel") -> "Cropping":
        if not models:
            from tf_landmarks.data.cropping import Cropping

            return Cropping("none" if crop.value == "as_trained" else crop.value, boxes.value)
        asked = {model.cropping(crop.value, boxes.value): model for model in models}
        if len(asked) > 1:
            told = " and ".join(f"{model.path} from --crop={c.crop}" for c, model in asked.items())
            raise UserError(
                f"the models learned from pictures that were cut in different ways, {told}; say how these are to be cut by "
                "--crop=auto, --crop=none or --boxes=CSV"
            )
        return next(iter(asked))

    return resolve


def with_defaults(run: "RunOptions") -> "RunOptions":
    """The options of a run with a definite folder and a definite precision."""
    from tf_landmarks.training import strategy

    return dataclasses.replace(
        run,
        run_dir=run.run_dir or _default_run_dir(run.method, run.data),
        precision=strategy.resolve_precision(run.precision),
    )


def _default_run_dir(method: str, data: str) -> str:
    """`runs/<flagfile>_<data>`, so that the same command finds its run again."""
    prefix = "--flagfile="
    files = [a.removeprefix(prefix) for a in sys.argv if a.startswith(prefix)]
    name = os.path.splitext(os.path.basename(files[-1]))[0] if files else method
    # TensorFlow writes into no folder whose name is not UTF-8.
    of = os.fsencode(os.path.basename(os.path.normpath(data))).decode("utf-8", "replace")
    return os.path.join("runs", f"{name}_{of}")


def _is_worth_showing(record: python_logging.LogRecord) -> bool:
    """Not other libraries' remarks on what they do, unless they fail: NumExpr's on its threads, for instance."""
    inside = any(f"{os.sep}{name}{os.sep}" in record.pathname for name in _TALKATIVE)
    return not inside or record.levelno >= python_logging.ERROR
