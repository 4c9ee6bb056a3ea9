"""Imports what commands import, for `tests.commands.finished`; not the commands, each of which defines its own flags."""

import importlib
import pkgutil

import tf_landmarks

for _module in pkgutil.walk_packages(tf_landmarks.__path__, "tf_landmarks."):
    if _module.name.count(".") > 1:
        importlib.import_module(_module.name)
