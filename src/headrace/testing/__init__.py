"""What headrace is tested with, for those who build on it.

* `headrace.testing.servers`: real S3 servers on loopback.
* `headrace.testing.contract`: the behaviour that every storage backend has to show.
"""
