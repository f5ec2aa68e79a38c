"""θ from calibration data: one for a network, one a layer, or one a gate."""

from archsim.calibration.calibrate import Calibration, calibrate_threshold
from archsim.calibration.scales import with_scales
from archsim.calibration.trials import Point

__all__ = ["Calibration", "Point", "calibrate_threshold", "with_scales"]
