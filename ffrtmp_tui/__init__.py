"""ffrtmp: the commands and the console of an ffrtmp cluster."""
