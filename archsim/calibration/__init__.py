"""Calibration of θ on labelled data: per network, layer, gate, or kind of gate."""

from archsim.calibration.scales import with_missing_scales, with_scales
from archsim.calibration.scored import CalibratedThreshold, write_log
from archsim.calibration.search import Calibration, calibrate_threshold, check_amount, check_search
from archsim.calibration.trials import Point, no_loss, standard_error

__all__ = [
    "CalibratedThreshold",
    "Calibration",
    "Point",
    "calibrate_threshold",
    "check_amount",
    "check_search",
    "no_loss",
    "standard_error",
    "with_missing_scales",
    "with_scales",
    "write_log",
]
