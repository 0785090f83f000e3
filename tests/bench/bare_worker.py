"""The least worker: answers each assignment with a result at once.

Arguments: the board, the broker's endpoint and slots; on standard input the broker's key and its own pair.
"""

import sys
from pathlib import Path
from typing import Any

import msgpack
import zmq

from tests.bench.board import Board

REPORT = {"engine": "null"}


def main() -> int:
    path, endpoint, slots = sys.argv[1:]
    board = Board(Path(path))
    server, public, secret = sys.stdin.readline().split()
    context: zmq.Context[Any] = zmq.Context()
    socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = map(str.encode, (server, public, secret))
    socket.connect(endpoint)
    socket.send_multipart([b"1", b"READY", msgpack.packb({"slots": int(slots)})])
    while True:
        _, kind, body = socket.recv_multipart()
        said = msgpack.unpackb(body)
        if kind == b"VERDICT":
            board.recorded()
            continue
        board.begun(said["job_id"])
        about = {"job_id": said["job_id"], "attempt": said["attempt"], "token": said["token"]}
        socket.send_multipart([b"1", b"RESULT", msgpack.packb({**about, "outcome": "encoded", "report": REPORT})])


if __name__ == "__main__":
    sys.exit(main())
