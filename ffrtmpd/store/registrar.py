"""Keys and nodes in the store: asked for at a start, written when somebody comes or goes."""

import dataclasses
from typing import Any, Unpack

from ffrtmpd.principals import Principal
from ffrtmpd.store import registry
from ffrtmpd.store.files import Database
from ffrtmpd.store.records import NodeRow
from ffrtmpd.store.registry import PrincipalChanges
from ffrtmpd.store.turn import Row, Turn
from ffrtmpd.wire.vocabulary import Role


class Registrar:
    """The part of the store that is about keys and nodes, and how queries made of models are run."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = Turn(database.connection)

    def principals(self) -> list[Principal]:
        """Return every key there ever was, by id."""
        return [registry.principal(values) for values in self._ask(registry.all_principals())]

    def add_principal(
        self,
        *,
        name: str,
        role: Role,
        public: str,
        at: float,
        grants: Role | None = None,
        expires_at: float | None = None,
    ) -> Principal:
        """Add a key and return it.

        Raises:
            NameTaken: a live key has the name; invitations (``grants``) neither take nor need a free one.
            PublicKeyTaken: the public half is known.
        """
        new = Principal(id=0, name=name, role=role, public=public, created_at=at, grants=grants, expires_at=expires_at)
        registry.refuse_clash(self.principals(), new)
        number = self._tell(registry.add_principal(new))
        return dataclasses.replace(new, id=number)

    def change_principal(self, number: int, **changes: Unpack[PrincipalChanges]) -> Principal:
        """Change a key and return it after that.

        Raises:
            NoSuchPrincipal: no such id.
            NameTaken: a live key has the name.
            PublicKeyTaken: another key has the public half.
        """
        known = self.principals()
        after = dataclasses.replace(registry.find_principal(known, number), **changes)
        registry.refuse_clash(known, after)
        self._tell(registry.change_principal(after))
        return after

    def nodes(self) -> list[NodeRow]:
        """Return every node ever seen, by id."""
        return [registry.node_row(values) for values in self._ask(registry.all_nodes())]

    def save_node(self, row: NodeRow) -> None:
        """Store a node in place of what was known of it."""
        self._tell(registry.save_node(row))

    def remove_node(self, node_id: str) -> None:
        """Forget a node; its jobs keep its name."""
        self._tell(registry.remove_node(node_id))

    def _ask(self, query: Any) -> list[Row]:
        sql, parameters = query.bind(self._database.peewee).sql()
        return self._turn.read(sql, parameters)

    def _tell(self, query: Any) -> int:
        """Run a write made of models and return the id of the row it added, if it added one."""
        sql, parameters = query.bind(self._database.peewee).sql()
        return self._turn.write(sql, parameters).lastrowid or 0
