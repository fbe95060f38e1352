"""What headrace is tested with, for those who build on it.

* `headrace.testing.servers`: real S3 servers on loopback.
* `headrace.testing.faults`: a proxy that makes the way to a server go wrong, just as a test wants it.
* `headrace.testing.contract`: the behaviour that every storage backend has to show.
"""
