"""The methods; `MODELS` is the only list of them."""

from tf_landmarks.methods.base import FeatureModel, LandmarkModel, Model, ModelSpec
from tf_landmarks.methods.c3 import C3
from tf_landmarks.methods.colorization import Colorizer
from tf_landmarks.methods.contrastlandmark import Contrastlandmark
from tf_landmarks.methods.dve import Dve
from tf_landmarks.methods.fse import Fse
from tf_landmarks.methods.generation import Generation
from tf_landmarks.methods.imm import Imm
from tf_landmarks.methods.lmdis import Lmdis
from tf_landmarks.methods.semisupervised import Semisupervised

MODELS: dict[str, type[Model]] = {
    "imm": Imm,
    "fse": Fse,
    "lmdis": Lmdis,
    "contrastlandmark": Contrastlandmark,
    "dve": Dve,
    "c3": C3,
    "semisupervised": Semisupervised,
    "colorization": Colorizer,
    "generation": Generation,
}
"""All that `python -m tf_landmarks.train` trains."""

METHODS: dict[str, type[Model]] = {
    name: kind
    for name, kind in MODELS.items()
    if issubclass(kind, LandmarkModel | FeatureModel) and not kind.learns_from_labels
}
"""Those that learn from images alone what can be exported: points or features."""

__all__ = ["METHODS", "MODELS", "FeatureModel", "LandmarkModel", "Model", "ModelSpec"]
