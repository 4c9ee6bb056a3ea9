"""The methods; `METHODS` is the only list of them."""

from tf_landmarks.methods.base import LandmarkModel, ModelShape
from tf_landmarks.methods.imm import Imm

METHODS: dict[str, type[LandmarkModel]] = {"imm": Imm}


def create(name: str, shape: ModelShape, options) -> LandmarkModel:
    """Makes a method's model, without variables yet; see `LandmarkModel.build_variables`."""
    return METHODS[name](shape, options)
