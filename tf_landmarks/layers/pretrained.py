"""Pretrained networks by the place of their weights.

The order of sources for a loss network: a file that the user gives (VGG-16 or VGG-19, SqueezeNet), one
learned by colorization from the user's own images, or none.
"""

import contextlib
from collections.abc import Iterator

from tf_landmarks.errors import UserError
from tf_landmarks.layers import weights
from tf_landmarks.layers.frozen_network import FrozenNetwork
from tf_landmarks.layers.squeezenet import SqueezeNet
from tf_landmarks.layers.vgg import Vgg


def load(path: str, flag: str = "--imm_loss_network") -> FrozenNetwork:
    """Makes a network of the weights in a file.

    Args:
        path: `.h5` or `.npz`; or "imagenet": VGG-19 as Keras downloads it.
        flag: The flag that named it, for messages.

    Raises:
        UserError: If there is no such file, or no network that is known in it; says what to do.
    """
    with _naming(path, flag):
        arrays = weights.download() if path == weights.IMAGENET else weights.read_arrays(path)
        return _kind(arrays)(arrays)


def check(path: str, flag: str = "--imm_loss_network") -> None:
    """Checks a file of weights as `load` does, without making a variable."""
    if path != weights.IMAGENET:
        with _naming(path, flag):
            arrays = weights.read_arrays(path)
            _kind(arrays).check(arrays)


def _kind(arrays: weights.Arrays) -> type[FrozenNetwork]:
    return SqueezeNet if "fire2/squeeze1x1/kernel" in arrays else Vgg


@contextlib.contextmanager
def _naming(path: str, flag: str) -> Iterator[None]:
    """Puts flag and remedy to what is wrong with a file, whatever readers make of damaged bytes."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UserError(
            f"{flag}={path} is no loss network: {error}. It takes the weights of a VGG-16 or VGG-19 "
            "(.h5 or .npz), of SqueezeNet v1.1 (.h5), or what python -m tf_landmarks.train "
            "--method=colorization --data=FOLDER learns from your own colour images; without it, pixels "
            "are compared"
        ) from error
