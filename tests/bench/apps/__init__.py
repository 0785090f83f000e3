"""Other job queues doing nothing: one file each, imported only inside an environment that has the queue."""
