"""The contract between master, workers and clients.

Worker and console may import this package and ``ffrtmpd.base`` and nothing else of the master.
"""
