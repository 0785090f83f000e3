"""Decides: events in, actions out. No socket, no clock, no thread."""
