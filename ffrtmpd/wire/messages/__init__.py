"""Every message, one frozen dataclass each, by what it is about.

A program imports only the modules whose messages it speaks: defining a class costs half a millisecond, and a
one-shot command shall not pay for all of them.
"""
