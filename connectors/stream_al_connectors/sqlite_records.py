"""Records and positions in the tables of a SQLite log: the statements, nothing else.

Every function takes a connection. Those that write expect to be inside the caller's transaction;
those that read run one statement and fetch it whole, so that no snapshot outlives the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from sqlite3 import Connection

from stream_al.errors import Fenced, Gone
from stream_al.port import Position, Record
from stream_al_connectors.membership import Place
from stream_al_connectors.sharing import READ_BYTES_MAX, below_begin

OFFSET_BITS = 40
WILD_RECORDS_MAX = 200_000
"""So many records of a wrong clock's time may lie before an old one for retention to find it."""
SEARCH_RECORDS = 50_000
"""A search by time looks at so many records in one statement: it must not hold a snapshot long."""


def topics(connection: Connection) -> dict[str, int]:
    """Return topic → number of partitions."""
    rows = connection.execute("SELECT topic, count(*) FROM streams GROUP BY topic")
    return dict(rows.fetchall())


def add_partitions(connection: Connection, wanted: Mapping[str, int]) -> None:
    """Give each topic the partitions that it lacks."""
    connection.executemany(
        "INSERT OR IGNORE INTO streams (topic, partition) VALUES (?, ?)",
        [(topic, number) for topic, count in wanted.items() for number in range(count)],
    )


def stream_id(connection: Connection, topic: str, partition: int) -> int | None:
    """Return the number of a partition in this file; it never changes."""
    row = connection.execute(
        "SELECT id FROM streams WHERE topic = ? AND partition = ?", (topic, partition)
    ).fetchone()
    return row[0] if row else None


def bounds(connection: Connection, stream: int) -> tuple[int, int]:
    """Return the first offset that is there, and the one after the last."""
    begin, end = connection.execute(
        "SELECT begin_offset, end_offset FROM streams WHERE id = ?", (stream,)
    ).fetchone()
    return begin, end


def read(
    connection: Connection, place: Place, stream: int, offset: int, limit: int
) -> list[Record]:
    """Return up to `limit` records and about `READ_BYTES_MAX` bytes from `offset` on."""
    partition = place[1]
    base = stream << OFFSET_BITS
    records: list[Record] = []
    bytes_left = READ_BYTES_MAX
    cursor = connection.execute(
        "SELECT place, timestamp_ms, CAST(key AS BLOB), CAST(value AS BLOB) FROM records"
        " WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
        (base + max(0, offset), base + (1 << OFFSET_BITS), limit),
    )
    try:
        for found, timestamp_ms, key, value in cursor:
            records.append(Record(partition, found - base, timestamp_ms, key, value))
            bytes_left -= len(value)
            if bytes_left <= 0:
                break
    finally:
        cursor.close()
    if not records or records[0].offset != offset:
        begin, _ = bounds(connection, stream)
        if offset < begin:
            raise Gone(below_begin(*place, offset, begin))
    return records


def append(
    connection: Connection,
    stream: int,
    keys: Sequence[bytes | None],
    values: Sequence[bytes],
    now_ms: int,
) -> int:
    """Add records at the end of a partition; return the first offset."""
    _, end = bounds(connection, stream)
    first = (stream << OFFSET_BITS) + end
    connection.executemany(
        "INSERT INTO records (place, timestamp_ms, key, value) VALUES (?, ?, ?, ?)",
        zip(range(first, first + len(values)), repeat(now_ms), keys, values, strict=False),
    )
    connection.execute(
        "UPDATE streams SET end_offset = ? WHERE id = ?", (end + len(values), stream)
    )
    return end


def rewrite(connection: Connection, stream: int, offset: int, value: bytes) -> bool:
    """Replace the value of one record; return whether there is one."""
    done = connection.execute(
        "UPDATE records SET value = ? WHERE place = ?", (value, (stream << 40) + offset)
    )
    return done.rowcount == 1


def first_since(
    connection: Connection, stream: int, begin: int, end: int, timestamp_ms: int
) -> int:
    """Return the first offset in [begin, end) that is not older than `timestamp_ms`, or `end`."""
    base = stream << OFFSET_BITS
    for start in range(begin, end, SEARCH_RECORDS):
        stop = min(end, start + SEARCH_RECORDS)
        row = connection.execute(
            "SELECT place FROM records WHERE place >= ? AND place < ? AND timestamp_ms >= ?"
            " ORDER BY place LIMIT 1",
            (base + start, base + stop, timestamp_ms),
        ).fetchone()
        if row:
            return int(row[0]) - base
    return end


def committed(connection: Connection, group: str, place: Place) -> tuple[Position, int] | None:
    """Return a committed position and when it was committed, in ms."""
    row = connection.execute(
        "SELECT offset, metadata, committed_at_ms FROM positions"
        " WHERE member_group = ? AND topic = ? AND partition = ?",
        (group, *place),
    ).fetchone()
    return (Position(row[0], row[1]), row[2]) if row else None


def commit_positions(
    connection: Connection, group: str, positions: Mapping[Place, Position], now_ms: int
) -> None:
    """Set committed positions."""
    connection.executemany(
        "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?, ?)",
        [
            (group, *place, position.offset, position.metadata, now_ms)
            for place, position in positions.items()
        ],
    )


def drop(
    connection: Connection,
    place: Place,
    stream: int,
    fresh: tuple[int, int],
    group: str | None,
    limit: int,
) -> int:
    """Drop up to `limit` records that `group` has read, to the last one older than `fresh`.

    A record whose time lies in `fresh` ends it, both bounds included. Returns how many went.
    """
    begin, end = bounds(connection, stream)
    bound = min(end, begin + WILD_RECORDS_MAX)
    if group is not None:
        found = committed(connection, group, place)
        bound = min(bound, found[0].offset if found else begin)
    bound = min(_old_end(connection, stream, begin, bound, fresh), begin + limit)
    if bound <= begin:
        return 0
    base = stream << OFFSET_BITS
    dropped = connection.execute(
        "DELETE FROM records WHERE place >= ? AND place < ?", (base + begin, base + bound)
    ).rowcount
    connection.execute("UPDATE streams SET begin_offset = ? WHERE id = ?", (bound, stream))
    return dropped


def _old_end(
    connection: Connection, stream: int, begin: int, bound: int, fresh: tuple[int, int]
) -> int:
    """Return the offset behind the last record older than `fresh` before the first one in it."""
    base = stream << OFFSET_BITS
    (first,) = connection.execute(
        "SELECT place FROM records WHERE place >= ? AND place < ?"
        " AND timestamp_ms BETWEEN ? AND ? ORDER BY place LIMIT 1",
        (base + begin, base + bound, *fresh),
    ).fetchone() or (base + bound,)
    (last,) = connection.execute(
        "SELECT place FROM records WHERE place >= ? AND place < ? AND timestamp_ms < ?"
        " ORDER BY place DESC LIMIT 1",
        (base + begin, first, fresh[0]),
    ).fetchone() or (base + begin - 1,)
    return int(last) - base + 1


def new_member(connection: Connection, name: str) -> int:
    """Return the number of a new member; numbers never come back, and only the last is kept."""
    connection.execute("DELETE FROM members")
    row = connection.execute(
        "INSERT INTO members (member) VALUES (?) RETURNING number", (name,)
    ).fetchone()
    return int(row[0])


def new_epoch(connection: Connection, group: str, place: Place, name: str, process: int) -> int:
    """Write down the owner of a partition under its next epoch; return the epoch."""
    row = connection.execute(
        "INSERT INTO owners VALUES (?, ?, ?, 1, ?, ?)"
        " ON CONFLICT DO UPDATE SET epoch = epoch + 1, member = excluded.member,"
        " process = excluded.process RETURNING epoch",
        (group, *place, name, process),
    ).fetchone()
    return int(row[0])


def owner(connection: Connection, group: str, place: Place) -> tuple[int, str, int] | None:
    """Return epoch, name and process of the last owner of a partition."""
    row: tuple[int, str, int] | None = connection.execute(
        "SELECT epoch, member, process FROM owners"
        " WHERE member_group = ? AND topic = ? AND partition = ?",
        (group, *place),
    ).fetchone()
    return row


def check_epochs(connection: Connection, group: str, topic: str, epochs: Mapping[int, int]) -> None:
    """Raise Fenced when one of these epochs (partition → epoch) is no longer in force."""
    for partition, epoch in epochs.items():
        found = owner(connection, group, (topic, partition))
        if found is None or found[0] != epoch:
            raise Fenced(f"{topic!r} partition {partition}: another member took it over")
