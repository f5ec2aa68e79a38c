"""θ from calibration data: one for a network, one a layer, one a gate, or one a kind of gate."""

from archsim.calibration.scales import with_scales
from archsim.calibration.search import Calibration, calibrate_threshold, check_amount, check_search
from archsim.calibration.trials import Point, no_loss, standard_error

__all__ = [
    "Calibration",
    "Point",
    "calibrate_threshold",
    "check_amount",
    "check_search",
    "no_loss",
    "standard_error",
    "with_scales",
]
