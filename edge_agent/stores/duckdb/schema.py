"""The embedded store's tables, and how its file is opened: with a plain sentence when that cannot
be done.

The format has a number, which is read before anything is changed: a newer file is refused, an older
one is copied and then given what it lacks. Only small tables change; what was measured is never
rewritten.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb

from edge_agent.errors import PoisonError, StoreError, newer_format
from edge_agent.reasons import cause
from edge_agent.stores import formats
from edge_agent.stores.duckdb.check import NO_NETWORK
from edge_agent.stores.duckdb.log import LogCut, log_path, mend_log, owned
from edge_agent.stores.duckdb.refusals import is_damage, is_full, refusal, refuse_foreign

log = logging.getLogger(__name__)

#: 2: the agent beside each device, the store's own id, former births apart, what was forgotten. 3:
#: health by hour and minute, of which the rows are kept for days; versions of the equipment
#: register.
VERSION: Final = 3

#: `samples` has no key and no index: 10 000 rows are appended at a time, and each row group knows
#: its smallest and largest `t`. `marks`, `quarantined` and `first_good` are appended to in the same
#: transaction as the data. `agent` is NULL in what was written before agents were kept: it is the
#: agent of the service's own file then. `devices` has the birth documents of that time, `births`
#: those that came since.
TABLES: Final = """
create table if not exists schema_version(version integer);
create table if not exists store_id(id varchar, created bigint);
create table if not exists series(sid integer primary key, device varchar, tag varchar,
    meta varchar);
alter table series add column if not exists agent varchar;
create table if not exists devices(device varchar primary key, birth varchar);
create table if not exists births(agent varchar, device varchar, birth varchar,
    primary key(agent, device));
create table if not exists definitions(sid integer, t bigint, before varchar, after varchar);
create table if not exists forgotten(agent varchar, device varchar, tag varchar, t bigint);
create table if not exists causes(agent varchar, device varchar, reason varchar, zh varchar,
    en varchar);
create table if not exists samples(
    sid integer, t bigint, num double, kind utinyint, txt varchar, status uinteger,
    source bigint, stored bigint);
create table if not exists newest(
    sid integer, t bigint, num double, kind utinyint, txt varchar, status uinteger, saved bigint);
create table if not exists health(
    device varchar, t bigint, period_s double, scheduled_s double, covered_s double, due bigint,
    done bigint,
    good bigint, bad bigint, "values" bigint, latency_ms double, latency_max_ms double,
    overruns bigint,
    state varchar, reason varchar, last_good_t bigint, stored bigint);
alter table health add column if not exists agent varchar;
create table if not exists first_good(device varchar, t bigint);
alter table first_good add column if not exists agent varchar;
create table if not exists transitions(
    t bigint, device varchar, "from" varchar, "to" varchar, reason varchar, zh varchar,
    en varchar, tag varchar);
alter table transitions add column if not exists tag varchar;
alter table transitions add column if not exists agent varchar;
create table if not exists gaps(
    t bigint, agent varchar, stream varchar, from_seq bigint, to_seq bigint, from_t bigint,
    to_t bigint,
    "values" bigint, acknowledged bigint);
alter table gaps add column if not exists reason varchar;
create table if not exists agents(t bigint, agent varchar, document varchar);
create table if not exists marks(stream varchar, first bigint, last bigint, "values" bigint);
create table if not exists quarantined(t bigint, reason varchar, "values" bigint);
create table if not exists runs(
    t bigint, sid integer, first bigint, last bigint, num double, status uinteger);
create table if not exists steps(t bigint, sid integer, size smallint, n bigint);
create table if not exists loads(t bigint, sid integer, moment bigint, used double, rate double);
drop view if exists evidence_keyed;
drop table if exists evidence;
create table if not exists health_devices(did integer primary key, agent varchar, device varchar);
create table if not exists health_hours(
    t bigint, did integer, scheduled_ms bigint, covered_ms bigint, due bigint, done bigint,
    good bigint, bad bigint,
    "values" bigint, overruns bigint, first_t bigint, last_t bigint, last_good_t bigint,
    state varchar, reason varchar,
    latency_ms double);
create table if not exists health_minutes(t bigint, minutes blob);
create table if not exists health_spans(t bigint, did integer, first bigint, last bigint);
create table if not exists health_kept(t bigint);
create table if not exists health_raw_from(t bigint);
create table if not exists compacted(t bigint, sid integer);
create table if not exists salvages(t bigint, former_id varchar, until bigint, stored bigint);
create table if not exists metrics(metric varchar, t bigint, document varchar);
create table if not exists registers(version varchar, valid_from bigint, kept_at bigint,
    document varchar);
"""

#: `salvages`: what was made of a damaged store. Rows up to `until` (NULL: none were lost) may be
#: sent again without marks that tell of them; the marks that are gone spoke of `stored` values.
#: `runs`, `steps`, `loads` and `compacted` (`t` is the start of an hour) can be made again from the
#: others. What is kept of health by hour (`t` is its end) can be so only while its rows are there;
#: `did` is a device of `health_devices`.
#: What retention deletes from together with the samples, and the column it goes by.
AGEING: Final = (
    "samples",
    "transitions",
    "gaps",
    "agents",
    "metrics",
    "runs",
    "loads",
    "steps",
    "compacted",
)
#: Tables with an agent beside each device, and what they look like with the device's key:
#: `NAME_keyed`.
_KEYED: Final = ("health", "transitions")

#: For reading long windows; what does not fit goes through files beside the database. A PC of 2 GB
#: is to stand it.
MEMORY_LIMIT: Final = "512MB"


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the file as it is. Raises FindingsError for one that is locked, damaged or out of
    reach."""
    try:
        return duckdb.connect(
            str(path), config={"threads": 2, "memory_limit": MEMORY_LIMIT, **NO_NETWORK}
        )
    except (duckdb.Error, OSError) as error:
        raise refusal(path, error) from error


def open_file(path: Path) -> duckdb.DuckDBPyConnection:
    """Open or create the file and its tables. Raises FindingsError for one that is locked, damaged,
    out of reach, of a newer format, or another program's; such a file is left as it was."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and (found := _version(path)) < VERSION:
            copy = formats.keep_copy(path, found, [log_path(path)])
            log.warning("store-migrated from_format=%d to_format=%d copy=%s", found, VERSION, copy)
        connection = connect(path)
        path.chmod(0o600)
        connection.begin()
        connection.execute(TABLES)
        if connection.execute("select max(version) from schema_version").fetchone() != (VERSION,):
            connection.execute("delete from schema_version")
            connection.execute("insert into schema_version values (?)", [VERSION])
        if connection.execute("select count(*) from store_id").fetchone() == (0,):
            connection.execute(
                "insert into store_id values (?, ?)", [secrets.token_hex(8), time.time_ns()]
            )
        connection.commit()
    except (duckdb.Error, OSError) as error:
        raise refusal(path, error) from error
    return connection


def mend(path: Path) -> LogCut | None:
    """Before a file is opened: refuse another program's, and make a damaged log readable; returns
    what that cost.

    Raises FindingsError."""
    try:
        if not path.exists():
            return None
        refuse_foreign(path)
        with owned(path):
            return mend_log(path)
    except OSError as error:
        raise refusal(path, error) from error


def _version(path: Path) -> int:
    """The format of a file that exists, which is only read; VERSION for one without tables. Raises
    FindingsError."""
    with contextlib.closing(
        duckdb.connect(str(path), read_only=True, config=NO_NETWORK)
    ) as connection:
        tables = {
            name
            for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()
        }
        if not tables:
            return VERSION
        if not {"schema_version", "series", "samples", "marks"} <= tables:
            raise formats.foreign(path, sorted(tables))
        row = connection.execute("select max(version) from schema_version").fetchone()
    found = int(row[0]) if row and row[0] is not None else 1
    if found > VERSION:
        raise newer_format(path, found, VERSION)
    return found


def delete_before(connection: duckdb.DuckDBPyConnection, cutoff: int) -> int:
    """Delete what ages with the samples, in the transaction that is open; returns the samples
    deleted."""
    deleted = 0
    for table in AGEING:
        row = connection.execute(f"delete from {table} where t < ?", [cutoff]).fetchone()  # noqa: S608 - table of ours
        if table == "samples" and row:
            deleted = int(row[0])
    return deleted


def oldest_sample(connection: duckdb.DuckDBPyConnection) -> int | None:
    """Its time, ns."""
    row = connection.execute("select min(t) from samples").fetchone()
    return None if row is None or row[0] is None else int(row[0])


def oldest_tenth(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The time up to which about a tenth of the samples lie, ns. The quantile is a double, 256 ns
    coarse: it is never before the oldest sample, so that each round of deleting gets on."""
    row = connection.execute(
        "select greatest(min(t), approx_quantile(t, 0.1)) from samples"
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def bytes_used(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Blocks of the file in use, and the log."""
    row = connection.execute(
        "select block_size * used_blocks from pragma_database_size()"
    ).fetchone()
    wal = log_path(path)
    return int(row[0] if row else 0) + (wal.stat().st_size if wal.exists() else 0)


def show_keys(
    connection: duckdb.DuckDBPyConnection, own: str, current: dict[tuple[str, str], str]
) -> None:
    """Make the views `NAME_keyed`, in which `key` names the device as `identity.DeviceKeys` does,
    and `agent` is never NULL. `current`: (agent, device) of former devices -> the key of what they
    are now."""
    mine = _quoted(own)
    renamed = "".join(
        f"when agent_ = {_quoted(agent)} and device = {_quoted(device)} then {_quoted(key)} "
        for (agent, device), key in current.items()
    )
    for table in _KEYED:
        connection.execute(
            f"create or replace view {table}_keyed as "  # noqa: S608 - quoted
            f"select * exclude (agent, agent_), agent_ as agent, case {renamed}"
            f"when agent_ = {mine} and not contains(device, ':') then device else agent_ || ':' "
            "|| device end as key "
            f"from (select *, coalesce(nullif(agent, ''), {mine}) as agent_ from {table})"
        )


def _quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """DuckDB's errors as ours: what is about the data is poison, everything else may be
    repeated."""
    try:
        yield
    except (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException) as error:
        raise PoisonError(f"{type(error).__name__}: {error}") from error
    except duckdb.Error as error:
        said = f"{type(error).__name__}: {error}"
        name = "store_damaged" if is_damage(error) else "store_full" if is_full(error) else None
        raise StoreError(said if name is None else cause(name, why=said.splitlines()[0])) from error
