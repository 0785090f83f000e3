"""What the store refuses, and why."""


class StoreError(Exception):
    """The database cannot be used; the message names the file and the way out."""


class StoreReadOnly(StoreError):
    """The disk takes no writes now. The whole turn is undone; reads go on, and a later turn may succeed."""


class Unreadable(StoreError):
    """A stored value is none of this program's; the row is damaged, or was written by another."""


class BackupTargetError(StoreError):
    """The copy cannot be written where it was asked for; the message says why. Nothing was left there."""


class NoSuchJob(StoreError):
    """There is no job with that number."""


class NoSuchPrincipal(StoreError):
    """There is no key with that id."""


class KeyConflict(StoreError):
    """A submit repeats a key with other content. ``job_id`` is the job that has the key."""

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(f"the key {key!r} belongs to {job_id}, which was submitted with other content")
        self.job_id = job_id


class StaleAttempt(StoreError):
    """The job is not in the state or at the attempt that the caller took it for; nothing was changed."""


class NameTaken(StoreError):
    """A live key has that name."""


class PublicKeyTaken(StoreError):
    """That public key is known already, perhaps revoked."""
