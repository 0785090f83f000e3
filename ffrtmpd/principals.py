"""Who may come in: the keys known to this master, in memory, looked up for every message."""

from collections.abc import Iterable
from dataclasses import dataclass

from ffrtmpd.events import Side
from ffrtmpd.wire.curve import fingerprint
from ffrtmpd.wire.vocabulary import Role

# An invitation just used still answers the same enrolment again, should the first reply have been lost.
REPLAY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A key and what is bound to it. ``grants`` is set on the one-time key of an invitation."""

    id: int
    name: str
    role: Role
    public: str
    created_at: float
    grants: Role | None = None
    expires_at: float | None = None
    revoked_at: float | None = None
    enrolled: str | None = None

    @property
    def user_id(self) -> str:
        """What ZAP attaches to every message of this key."""
        return str(self.id)

    @property
    def fingerprint(self) -> str:
        """A short name of the key for people."""
        return fingerprint(self.public)

    def is_open(self, wall_s: float) -> bool:
        """Tell whether the key is good at ``wall_s`` (Unix seconds)."""
        return self.revoked_at is None and (self.expires_at is None or wall_s < self.expires_at)


class Principals:
    """Every key by public half and by user id."""

    def __init__(self, known: Iterable[Principal] = ()) -> None:
        self._by_public: dict[str, Principal] = {}
        self._by_user: dict[str, Principal] = {}
        self.replace(known)

    def replace(self, known: Iterable[Principal]) -> None:
        """Forget all and take ``known`` instead."""
        self._by_public.clear()
        self._by_user.clear()
        for principal in known:
            self.put(principal)

    def put(self, principal: Principal) -> None:
        """Add a principal or replace the one with its id."""
        self._by_public[principal.public] = principal
        self._by_user[principal.user_id] = principal

    def everyone(self) -> list[Principal]:
        """Return all, in order of id."""
        return sorted(self._by_user.values(), key=lambda principal: principal.id)

    def known(self, principal_id: int) -> Principal:
        """Return the principal with that id, open or not."""
        return self._by_user[str(principal_id)]

    def admit(self, public: str, side: Side, wall_s: float) -> str | None:
        """Return the user id for a key that may connect to that side now, None for all others."""
        principal = self._by_public.get(public)
        if principal is None or not principal.is_open(wall_s):
            return None
        wants = Side.WORKERS if principal.role is Role.WORKER else Side.CLIENTS
        return principal.user_id if side is wants else None

    def of(self, user_id: str, wall_s: float) -> Principal | None:
        """Return who a message is from, None if the key is not good any more."""
        principal = self._by_user.get(user_id)
        return principal if principal is not None and principal.is_open(wall_s) else None
