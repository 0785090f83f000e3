"""ffrtmp-worker: runs encodes for an ffrtmp master."""
