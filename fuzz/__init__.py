"""Fuzz targets, and the oracles that say what they must not get wrong."""
