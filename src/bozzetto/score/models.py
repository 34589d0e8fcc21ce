"""From a configuration to a model."""

from .config import ModelConfig
from .model import GridModel, ScoreModel
from .reference import ResidualModel


def build_model(config: ModelConfig) -> ScoreModel:
    """The model that a configuration describes, with first weights from the global generator."""
    return {"grid": GridModel, "residual": ResidualModel}[config.architecture](config)
