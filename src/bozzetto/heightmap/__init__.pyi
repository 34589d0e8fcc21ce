from .tactile import TactileCalibration as TactileCalibration
from .tactile import calibrate_tactile as calibrate_tactile
from .tactile import even_light as even_light
from .tactile import tactile_gradients as tactile_gradients
from .tactile import tactile_height as tactile_height
