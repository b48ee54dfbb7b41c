"""The versions of the rooms that compute results: parts of every job's identity.

Raise one when its room computes another number; a refactoring raises none.
"""

DATA = 1
DETECTORS = 1
ENGINE = 1
EVALUATION = 1
QUANTIZATION = 1
