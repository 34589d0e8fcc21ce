"""From configurations to networks."""

from .config import LatentConfig, ModelConfig
from .latent import LatentFlow
from .latent_gan import LatentGenerator
from .model import GridModel, ScoreModel
from .reference import ResidualModel


def build_model(config: ModelConfig) -> ScoreModel:
    """The model that a configuration describes, with first weights from the global generator."""
    return {"grid": GridModel, "residual": ResidualModel}[config.architecture](config)


def build_latent(code_size: int, config: LatentConfig) -> LatentFlow | LatentGenerator:
    """The distribution of codes that a configuration describes."""
    return {"flow": LatentFlow, "gan": LatentGenerator}[config.kind](code_size, config)
