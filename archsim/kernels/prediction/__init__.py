"""Reuse decisions: predictors of bit planes, the reuse rule, and the loop over steps that applies them.

Reading order: bitplanes, reuse_rule, reuse_decider, recurrent_steps; delta_update for column-skipping; statistics.
"""
