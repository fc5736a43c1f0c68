"""Runs that are disturbed, one fault each, and then resumed: `python -m chaos --help`."""
