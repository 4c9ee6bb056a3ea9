"""Packages that are not installed with the others, as only some files of other programs need them."""

import importlib.util


def missing(*modules: str) -> str:
    """Says which of some modules are not installed, and how to install them; "" if all are.

    Args:
        modules: As they are imported, of the extra `formats`.
    """
    lacking = [name.replace("_", "-") for name in modules if importlib.util.find_spec(name) is None]
    if not lacking:
        return ""
    return (
        f"{' and '.join(lacking)}, not installed here; pip install '.[formats]' in the folder of tf_landmarks' source, on "
        "Python 3.11 or later, does it"
    )
