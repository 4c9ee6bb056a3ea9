"""Stopping a run before its end: SIGTERM and Ctrl-C are answered at the end of a step."""

import signal
from types import FrameType

#: The exit code of a command that was asked to stop and has saved what it did: "try again later" in
#: sysexits.h. Nothing else ends with it.
EXIT_CODE = 75


class InterruptedTraining(Exception):
    """Training ended on request, at a checkpoint."""


class WorkerLostError(Exception):
    """Another worker of a run on several machines is gone."""


class Interruption:
    """Notes the first SIGTERM or Ctrl-C while it is entered; a second one ends the process at once."""

    def __init__(self):
        #: The name of the signal that was received.
        self.received = ""
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not in the main thread, where a program handles signals itself
                break
        return self

    def __exit__(self, *_) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
