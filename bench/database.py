"""What the recorder wrote, looked up in whichever database it writes to."""

from collections.abc import Iterable

from sqlalchemy import NullPool, create_engine, text

_SIZES = {
    "sqlite": "select (page_count - freelist_count) * page_size"
    " from pragma_page_count, pragma_freelist_count, pragma_page_size",
    "postgresql": "select pg_database_size(current_database())",
}
_STATES = (
    "select state from states join states_meta using (metadata_id)"
    " where states_meta.entity_id = :entity_id order by state_id"
)


class Database:
    """The database of a recorder, asked from outside of Home Assistant."""

    def __init__(self, url: str) -> None:
        """Take it in the words of the recorder's `db_url`."""
        self.url = url
        # No connection is kept: it would not outlive a restart of the server.
        self._engine = create_engine(url, poolclass=NullPool)

    def size(self) -> int:
        """Return the bytes in use, without what is written ahead."""
        return self._number(_SIZES[self._engine.dialect.name])

    def count(self) -> int:
        """Return the number of states."""
        return self._number("select count(*) from states")

    def states(self, entity_ids: Iterable[str]) -> dict[str, list[str]]:
        """Return the states of entities in the order in which they were written."""
        with self._engine.connect() as connection:
            return {
                entity_id: [
                    str(state)
                    for (state,) in connection.execute(text(_STATES), {"entity_id": entity_id})
                ]
                for entity_id in entity_ids
            }

    def _number(self, query: str) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(text(query)).scalar_one())
