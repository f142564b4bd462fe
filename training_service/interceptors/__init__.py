"""What every call passes through on its way to a servicer, in the order of `chain.py`."""
