"""The methods; `METHODS` is the only list of them."""

from tf_landmarks.methods.base import LandmarkModel, ModelShape, TrainedModel
from tf_landmarks.methods.colorization import Colorizer
from tf_landmarks.methods.fse import Fse
from tf_landmarks.methods.generation import Generation
from tf_landmarks.methods.imm import Imm
from tf_landmarks.methods.lmdis import Lmdis

METHODS: dict[str, type[LandmarkModel]] = {"imm": Imm, "fse": Fse, "lmdis": Lmdis}

PRETRAINING: dict[str, type[TrainedModel]] = {"colorization": Colorizer}
"""What `python -m tf_landmarks.pretrain` trains: no methods, they find no landmarks."""

GENERATION: dict[str, type[TrainedModel]] = {"generation": Generation}
"""What `python -m tf_landmarks.generate` trains: it draws pictures of another model's landmarks."""

TRAINED: dict[str, type[TrainedModel]] = {**METHODS, **PRETRAINING, **GENERATION}


def create(name: str, shape: ModelShape, options) -> TrainedModel:
    """Makes a model, without variables yet; see `TrainedModel.build_variables`."""
    return TRAINED[name](shape, options)
