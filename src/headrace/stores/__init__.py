"""Backends made dependable: which one serves a URI, what is tried again, and where a broken read goes on."""
