"""Contract suite of policies: checks of what every policy promises, for bundled ones and for users' own."""

from archsim.contract.suite import CheckResult, check_policy
from archsim.contract.target import find_policy

__all__ = ["CheckResult", "check_policy", "find_policy"]
