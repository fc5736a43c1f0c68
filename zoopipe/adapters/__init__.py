"""Formats: one file each; `base.py` is the contract between ZooPipe and a format."""
