"""ffrtmpd: the master of an ffrtmp cluster."""

__version__ = "0.1.0"
