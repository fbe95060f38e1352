"""Benchmarks of headrace against its peers, on one machine over loopback: ``python -m benchmarks``.

__main__    the command line
workloads   what is measured, and the goals
libraries   how each library does it, one file a library
dataset     the objects that are read and the bytes that are written
runner      servers, processes, rounds
sample      one process: connect, warm up, measure, print
reference   wrk and the interpreter's own import times
records     samples and runs as JSON
figures     medians, ratios, goals
machine     where it ran, and on which versions
report      a run as Markdown
"""
