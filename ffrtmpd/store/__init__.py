"""The only place that knows SQL: jobs, their history, keys and nodes."""

from ffrtmpd.store.backup import backup
from ffrtmpd.store.ended import Edge
from ffrtmpd.store.errors import (
    BackupTargetError,
    KeyConflict,
    NameTaken,
    NoSuchJob,
    NoSuchPrincipal,
    PublicKeyTaken,
    StaleAttempt,
    StoreError,
    StoreReadOnly,
    Unreadable,
)
from ffrtmpd.store.files import SQLITE
from ffrtmpd.store.old_project import NotOurs, open_old
from ffrtmpd.store.orders import NewJob, Order
from ffrtmpd.store.records import Head, JobChanges, JobRow, JobUpdate, NodeRow, Past, Step, job_id, parse_job_ref
from ffrtmpd.store.retention import Purged
from ffrtmpd.store.search import LOOK_MAX, Search
from ffrtmpd.store.store import Store

__all__ = [
    "LOOK_MAX",
    "SQLITE",
    "BackupTargetError",
    "Edge",
    "Head",
    "JobChanges",
    "JobRow",
    "JobUpdate",
    "KeyConflict",
    "NameTaken",
    "NewJob",
    "NoSuchJob",
    "NoSuchPrincipal",
    "NodeRow",
    "NotOurs",
    "Order",
    "Past",
    "PublicKeyTaken",
    "Purged",
    "Search",
    "StaleAttempt",
    "Step",
    "Store",
    "StoreError",
    "StoreReadOnly",
    "Unreadable",
    "backup",
    "job_id",
    "open_old",
    "parse_job_ref",
]
