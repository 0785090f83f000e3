"""Measurements beside bare baselines; figures to read, never to assert."""
