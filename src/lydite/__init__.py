"""Lydite: how fast is a deep-learning model on a system, what does it cost, and why?"""

__version__ = "0.1.0"
