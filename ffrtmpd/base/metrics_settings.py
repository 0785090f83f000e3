"""Where the metrics of a daemon are read."""

from dataclasses import dataclass
from typing import Annotated, Final

from ffrtmpd.wire.schema import Range, Size

PORT: Final = Range(0, 65_535)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """Where the metrics are read. The port is each daemon's own."""

    enabled: Annotated[bool, "serve /metrics, /healthz and /readyz"] = True
    address: Annotated[str, "address to listen on; `*` for every one of this machine", Size(1, 253)] = "127.0.0.1"
    port: Annotated[int | None, "TCP port; 0: the system chooses; nothing: the usual one, if it is free", PORT] = None
    certificate: Annotated[str | None, "PEM file with certificate chain: serve HTTPS", Size(1, 4_096)] = None
    key: Annotated[str | None, "PEM file with its private key", Size(1, 4_096)] = None
