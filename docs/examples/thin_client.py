"""Submits a job and follows it to its end, written from docs/protocol.md alone: pyzmq and msgpack, nothing of ffrtmp.

python thin_client.py tcp://127.0.0.1:5571 SERVER_PUBLIC_KEY MY_PUBLIC_KEY MY_SECRET_KEY 720p30-h264
"""

import sys
import uuid
from typing import Any

import msgpack
import zmq

VERSION = b"1"
TRIES_MS = (2_000, 4_000, 8_000)
TERMINAL = ("completed", "failed", "canceled")


class Master:
    """A connection to the master's client port."""

    def __init__(self, endpoint: str, server_public: str, public: str, secret: str) -> None:
        self._context = zmq.Context()
        self._endpoint, self._server_public, self._public, self._secret = endpoint, server_public, public, secret

    def ask(self, kind: str, *, wait_ms: int = 0, **body: Any) -> dict[str, Any]:
        """Send a request and return the body of its reply."""
        body["request_id"] = uuid.uuid4().hex
        for patience_ms in TRIES_MS:
            socket = self._context.socket(zmq.REQ)
            socket.linger = 0
            socket.curve_serverkey = self._server_public.encode()
            socket.curve_publickey = self._public.encode()
            socket.curve_secretkey = self._secret.encode()
            try:
                socket.connect(self._endpoint)
                socket.send_multipart([VERSION, kind.encode(), msgpack.packb(body)])
                if socket.poll(patience_ms + wait_ms):
                    _, reply, answer = socket.recv_multipart()
                    plain: dict[str, Any] = msgpack.unpackb(answer)
                    if reply == b"ERROR":
                        raise SystemExit(f"refused: {plain['problem']['code']}: {plain['problem']['message']}")
                    return plain
            finally:
                socket.close()
        raise SystemExit("the master does not answer")

    def close(self) -> None:
        """Let go of the sockets."""
        self._context.term()


def main() -> int:
    """Submit one job, print each change, return 0 when it completed."""
    endpoint, server_public, public, secret, scenario = sys.argv[1:6]
    master = Master(endpoint, server_public, public, secret)
    try:
        jobs = [{"key": uuid.uuid4().hex, "spec": {"scenario": scenario, "duration_s": 1}}]
        (result,) = master.ask("SUBMIT", jobs=jobs)["results"]
        if "problem" in result:
            raise SystemExit(f"refused: {result['problem']['code']}: {result['problem']['message']}")
        job_id = result["job_id"]
        job, since = master.ask("STATUS", job=job_id)["job"], 0
        while job["state"] not in TERMINAL:
            print(job_id, job["state"], f"{job.get('progress', {}).get('percent', 0):.0f}%", flush=True)
            news = master.ask("CHANGES", since=since, jobs=[job_id], wait_s=10, wait_ms=10_000)
            since = news["revision"]
            if news.get("reset"):
                job = master.ask("STATUS", job=job_id)["job"]
            elif news["jobs"]:
                job = news["jobs"][-1]
        print(job_id, job["state"], job.get("output", job.get("reason", "")), flush=True)
        return 0 if job["state"] == "completed" else 1
    finally:
        master.close()


if __name__ == "__main__":
    sys.exit(main())
