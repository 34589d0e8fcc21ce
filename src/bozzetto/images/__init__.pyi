from .color import linear_to_srgb as linear_to_srgb
from .color import srgb_to_linear as srgb_to_linear
from .io import load_image as load_image
from .io import save_image as save_image
