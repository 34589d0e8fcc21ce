"""Trainings of the weights that come with the package."""
