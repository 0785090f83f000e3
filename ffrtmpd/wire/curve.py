"""CURVE keys on disk and sockets hardened the same way everywhere."""

import base64
import binascii
import os
import stat
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgpack
import zmq

from ffrtmpd.wire.codec import MESSAGE_MAX

if TYPE_CHECKING:
    # A one-shot command does without it.
    from pathlib import Path

# With libzmq's default of 30 s a few hundred silent connections lock newcomers out of the accept queue.
HANDSHAKE_MS: Final = 3_000
# A thousand workers come back at once after a restart; libzmq's default of 100 makes most of them try again.
BACKLOG: Final = 1_024
KEY_CHARACTERS: Final = 40
INVITATION_PREFIX: Final = "ffrtmp1_"


class KeyFileError(Exception):
    """A key file is missing, readable by others, or holds no key; the message says how to mend it."""


class KeyPair(NamedTuple):
    """A CURVE key pair in Z85, 40 characters each."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r})"


class Invitation(NamedTuple):
    """What one line carries to a machine that shall join: where, whom to trust, and a one-time key."""

    endpoint: str
    server_public: str
    secret: str
    name: str
    role: str

    def __repr__(self) -> str:
        return f"Invitation(endpoint={self.endpoint!r}, name={self.name!r}, role={self.role!r})"


def new_key_pair() -> KeyPair:
    """Return a fresh key pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def fingerprint(public: str) -> str:
    """Return a short name for a public key that is safe to log and to print: 16 hexadecimal digits of its SHA-256."""
    import hashlib

    return hashlib.sha256(public.encode()).hexdigest()[:16]


def write_key_file(path: "Path", pair: KeyPair) -> None:
    """Write ``pair`` to a new file that only its owner can read.

    Raises:
        FileExistsError: a key is never overwritten.
    """
    make_private_folder(path.parent)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f'public = "{pair.public}"\nsecret = "{pair.secret}"\n')
        file.flush()
        os.fsync(file.fileno())


def make_private_folder(folder: "Path") -> None:
    """Create ``folder`` and its parents; the folder itself is readable by its owner only."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def read_key_file(path: str | os.PathLike[str]) -> KeyPair:
    """Return the key pair in ``path``.

    Raises:
        KeyFileError: it cannot be read, others can read it, or it holds no key.
    """
    import tomllib

    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & _of_others(path):
                raise KeyFileError(f"{path} can be read by others (mode {mode:04o}): run chmod 600 {path}")
            document: dict[str, Any] = tomllib.load(file)
    except OSError as error:
        raise KeyFileError(f"cannot read the key {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise KeyFileError(f"{path} is not a key file: expected the lines public and secret") from None
    public, secret = document.get("public"), document.get("secret")
    if not isinstance(public, str) or not isinstance(secret, str) or not is_key(public) or not is_key(secret):
        raise KeyFileError(f"{path} holds no key pair: expected public and secret of {KEY_CHARACTERS} characters")
    if zmq.curve_public(secret.encode()).decode() != public:
        raise KeyFileError(f"{path}: the public key does not belong to the secret one")
    return KeyPair(public, secret)


def _of_others(path: str | os.PathLike[str]) -> int:
    """Return the bits of a mode by which others than its user could read a key."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    # systemd lets a service read a credential by an access list, whose mask stands where the group's bits do.
    return 0o007 if folder and os.path.dirname(path) == folder else 0o077  # noqa: PTH120


def is_key(text: str) -> bool:
    """Tell whether ``text`` is a key in Z85."""
    if len(text) != KEY_CHARACTERS or not text.isascii():
        return False
    try:
        zmq.curve_public(text.encode())
    except zmq.ZMQError:
        return False
    return True


def write_invitation(invitation: Invitation) -> str:
    """Return the invitation as one word that survives any shell."""
    packed = msgpack.packb(
        [invitation.endpoint, invitation.server_public, invitation.secret, invitation.name, invitation.role]
    )
    return INVITATION_PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_invitation(line: str) -> Invitation:
    """Return what an invitation line says.

    Raises:
        ValueError: the line is not an invitation, or was cut.
    """
    word = line.strip()
    problem = ValueError(f"not an invitation: expected one word that starts with {INVITATION_PREFIX}; copy it whole")
    if not word.startswith(INVITATION_PREFIX) or len(word) > 4_096:
        raise problem
    body = word.removeprefix(INVITATION_PREFIX)
    try:
        parts = msgpack.unpackb(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError, msgpack.exceptions.UnpackException):
        raise problem from None
    if not isinstance(parts, list) or len(parts) != 5 or not all(isinstance(part, str) for part in parts):
        raise problem
    invitation = Invitation(*parts)
    if not is_key(invitation.server_public) or not is_key(invitation.secret):
        raise problem
    return invitation


def one_time_pair(invitation: Invitation) -> KeyPair:
    """Return the key pair with which an invitation asks to enrol."""
    return KeyPair(zmq.curve_public(invitation.secret.encode()).decode(), invitation.secret)


def server_socket(context: zmq.Context[Any], *, secret: str, domain: str) -> zmq.Socket[bytes]:
    """Return a ROUTER that lets in only peers whom the ZAP handler knows in ``domain``.

    The handler must be running before this socket is bound, or libzmq lets every key in.
    """
    socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    _limit(socket)
    socket.set(zmq.ROUTER_MANDATORY, 1)
    socket.set(zmq.BACKLOG, BACKLOG)
    socket.set(zmq.CURVE_SERVER, 1)
    socket.set(zmq.CURVE_SECRETKEY, secret.encode())
    socket.set(zmq.ZAP_DOMAIN, domain.encode())
    socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
    return socket


def client_socket(context: zmq.Context[Any], kind: int, *, own: KeyPair, server_public: str) -> zmq.Socket[bytes]:
    """Return a REQ or DEALER that speaks to the master with ``server_public`` and nobody else."""
    socket: zmq.Socket[bytes] = context.socket(kind)
    _limit(socket)
    # Without it, messages queue for a master that is away and arrive in a burst of stale beats when it is back.
    socket.set(zmq.IMMEDIATE, 1)
    socket.set(zmq.CURVE_SERVERKEY, server_public.encode())
    socket.set(zmq.CURVE_PUBLICKEY, own.public.encode())
    socket.set(zmq.CURVE_SECRETKEY, own.secret.encode())
    return socket


def _limit(socket: zmq.Socket[bytes]) -> None:
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.MAXMSGSIZE, MESSAGE_MAX)
    socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    # Endpoints are taken with IPv6 addresses and names too.
    socket.set(zmq.IPV6, 1)
