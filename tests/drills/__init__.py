"""Failure drills: real processes under load, a fault in the midst, and nothing lost or doubled.

`make drill` runs them all and writes the table of docs/reliability.md.
"""
