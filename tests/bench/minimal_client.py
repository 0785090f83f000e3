"""The least program that can ask a master: pyzmq and msgpack, one STATUS over CURVE. Its arguments come on stdin."""

import sys

import msgpack
import zmq


def main() -> int:
    endpoint, server_key, public, secret, job = sys.stdin.read().split()
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = map(
        str.encode, (server_key, public, secret)
    )
    socket.connect(endpoint)
    socket.send_multipart([b"1", b"STATUS", msgpack.packb({"request_id": "minimal", "job": job})])
    _, kind, body = socket.recv_multipart()
    answered = kind == b"STATUS_REPLY" and msgpack.unpackb(body)["job"]["job_id"] == job
    socket.close()
    context.term()
    return 0 if answered else 1


if __name__ == "__main__":
    sys.exit(main())
