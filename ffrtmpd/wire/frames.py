"""Messages of several frames through a socket, without waiting.

pyzmq's own ``send_multipart`` and ``recv_multipart`` take twice as long: they put flags together anew for each frame,
and one that is not a plain integer takes as long to read as a frame.
"""

from collections.abc import Sequence
from typing import Final

import zmq

_LAST: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)


def send(socket: zmq.Socket[bytes], frames: Sequence[bytes]) -> None:
    """Send one message or batch, to a ROUTER with its route first, if it can be queued at once.

    Raises:
        ZMQError: nothing was sent; ``Again`` if no more can wait for this peer, ``EHOSTUNREACH`` if it is gone.
    """
    last = len(frames) - 1
    for place, frame in enumerate(frames):
        socket.send(frame, _LAST if place == last else _MORE)


def receive(socket: zmq.Socket[bytes], most: int) -> tuple[list[bytes], zmq.Frame] | None:
    """Take one message or batch, None if none waits: its frames, and the last one with what libzmq says of its sender.

    It has as many frames as its sender likes: those beyond ``most`` are read and dropped.
    """
    frames: list[bytes] = []
    while True:
        try:
            # A frame that is not copied tells whether another follows, and who sent it.
            frame = socket.recv(_LAST, copy=False)
        except zmq.Again:
            # All of a message is there or nothing.
            return None
        if len(frames) < most:
            frames.append(frame.bytes)
        if not frame.more:
            return frames, frame
