from .config import DecoderConfig as DecoderConfig
from .config import TrainConfig as TrainConfig
from .model import Decoder as Decoder
from .model import build_decoder as build_decoder
from .prior import ShapePrior as ShapePrior
from .prior import load_prior as load_prior
from .prior import save_prior as save_prior
