"""The least that can stand where a master does: two CURVE ROUTERs, msgpack and a list of peers.

It welcomes everybody, answers each beat, gives each job to the next peer in the ring and nods at its result. It checks
nothing, keeps nothing and lets any key in. Arguments: the ports for workers and clients, 0 for any, and the number of
its start; its secret key comes on standard input. It says on standard output where it listens.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

import msgpack
import zmq

Ring = dict[bytes, None]


def main() -> int:
    workers_port, clients_port, start = sys.argv[1:]
    epoch = int(start)
    secret = sys.stdin.readline().strip()
    context: zmq.Context[Any] = zmq.Context()
    workers = _router(context, secret, workers_port)
    clients = _router(context, secret, clients_port)
    said = {"workers": workers.get(zmq.LAST_ENDPOINT), "clients": clients.get(zmq.LAST_ENDPOINT)}
    sys.stdout.write(json.dumps({side: bytes(at).rstrip(b"\0").decode() for side, at in said.items()}) + "\n")
    sys.stdout.flush()
    ring: Ring = {}
    numbers = itertools.count(1)
    turns: Iterator[bytes] = iter(())
    poller = zmq.Poller()
    poller.register(workers, zmq.POLLIN)
    poller.register(clients, zmq.POLLIN)
    while True:
        ready = dict(poller.poll())
        while workers in ready and _waits(workers):
            route, _, kind, body = workers.recv_multipart()
            if kind == b"READY":
                ring.setdefault(route)
            stranger = kind != b"HELLO" and route not in ring
            answer = (b"RESET", {}) if stranger else _answer(kind, msgpack.unpackb(body), epoch)
            if answer is not None:
                workers.send_multipart([route, b"1", answer[0], msgpack.packb(answer[1])])
        while clients in ready and _waits(clients):
            route, _, _, _, body = clients.recv_multipart()
            asked = msgpack.unpackb(body)
            results = []
            for job in asked["jobs"]:
                job_id = f"job-{epoch}{next(numbers):06d}"
                peer = next(turns, None)
                if peer is None:
                    turns = iter(list(ring))
                    peer = next(turns)
                workers.send_multipart([peer, b"1", b"ASSIGN", msgpack.packb(_assignment(job_id))])
                results.append({"key": job["key"], "job_id": job_id})
            reply = {"request_id": asked["request_id"], "results": results}
            clients.send_multipart([route, b"", b"1", b"SUBMITTED", msgpack.packb(reply)])


def _router(context: "zmq.Context[Any]", secret: str, port: str) -> "zmq.Socket[bytes]":
    socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    socket.curve_server = True
    socket.curve_secretkey = secret.encode()
    socket.set(zmq.BACKLOG, 4_096)
    socket.set(zmq.SNDHWM, 0)
    socket.bind(f"tcp://127.0.0.1:{port}")
    return socket


def _waits(socket: "zmq.Socket[bytes]") -> bool:
    return bool(int(socket.get(zmq.EVENTS)) & zmq.POLLIN)


def _answer(kind: bytes, said: dict[str, Any], epoch: int) -> tuple[bytes, dict[str, Any]] | None:
    if kind == b"HEARTBEAT":
        return b"HEARTBEAT_ACK", {"sent_ms": said["sent_ms"]}
    if kind == b"HELLO":
        offer = {"version": 1, "node_id": "n", "epoch": epoch, "nonce": b"n" * 16}
        return b"WELCOME", {**offer, "heartbeat_s": 2.0, "fence_s": 10.0, "lost_after_s": 60.0}
    about: dict[str, Any] = {name: said[name] for name in ("job_id", "attempt", "token") if name in said}
    if kind == b"RESULT":
        return b"COMMIT", about
    return (b"VERDICT", {**about, "verdict": "recorded"}) if kind == b"COMMITTED" else None


def _assignment(job_id: str) -> dict[str, Any]:
    encode = {"codec": "h264", "width": 1_280, "height": 720, "fps": 30.0, "bitrate_bps": 3_000_000}
    return {"job_id": job_id, "attempt": 1, "token": b"t" * 16, "encode": encode, "output_mode": "file"}


if __name__ == "__main__":
    sys.exit(main())
