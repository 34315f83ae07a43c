"""Runs the examples of the manual: see blocks.py for how a page says what becomes of a block."""
