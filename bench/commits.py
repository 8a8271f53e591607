"""Commits a second that PostgreSQL carries for the centre, alone and with a synchronous standby, and what a key costs.

    python -m bench.commits [--seconds 10] [--clients 1,8,32] [--rows 200000]

`pgbench` puts one small update a transaction, as a worker's steps do, against Debian's server with fsync on; then again
with a second server that must have the commit on its own disk first (synchronous_commit = on, one machine, one disk for
both: a network is to be added, a second disk to be taken off). The centre's own table is then filled to see what one
remembered case costs in its unique index. Appended to bench/RESULTS.md.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import create_engine, text

from bench.load import RESULTS
from central import store
from tests.faults.postgres import USER, Postgres, programs

SCRIPT = "\\set aid random(1, 100000)\nUPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n"
STANDBY = "standby"


def pgbench(server: Postgres, clients: int, period_s: int, script: Path) -> float:
    """Transactions a second, as pgbench counts them."""
    command = [str(programs() / "pgbench"), "-h", str(server.folder), "-U", USER, "-n", "-f", str(script)]
    told = ["-c", str(clients), "-j", "2", "-T", str(period_s), USER]
    done = subprocess.run([*command, *told], capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([0-9.]+) ", done.stdout)
    assert found, done.stdout
    return float(found[1])


def standby_of(primary: Postgres) -> Postgres:
    """A second server that will follow the first one, and that the first one waits for."""
    follower = Postgres(from_server=primary)
    ask(primary, f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
    ask(primary, "SELECT pg_reload_conf()")
    return follower


def ask(server: Postgres, statement: str) -> object:
    engine = create_engine(server.url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as c:
            done = c.execute(text(statement))
            return done.scalar() if done.returns_rows else None
    finally:
        engine.dispose()


def key_bytes(server: Postgres, rows: int) -> float:
    """Of the unique index by device and case, a remembered case."""
    store.open_store(Path(), server.url).dispose()
    ask(
        server,
        "INSERT INTO cases (device_id, partition, case_id, transfer_id, sha256, tier, urgency, urgency_rank, turn, "
        "received_at, state, state_at, code, claimed_by, claimed_until) SELECT 'site-' || n % 10000, 0, "
        f"md5(n::text), md5(n::text), md5(n::text) || md5(n::text), 1, 'routine', 0, 0, n, 'answered', n, '', '', 0 "
        f"FROM generate_series(1, {rows}) n",
    )
    return float(str(ask(server, "SELECT pg_relation_size('cases_device_id_case_id_key')"))) / rows


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--seconds", type=int, default=10)
    told.add_argument("--clients", default="1,8,32")
    told.add_argument("--rows", type=int, default=200_000)
    options = told.parse_args()
    load, crowd = os.getloadavg()[0], [int(each) for each in options.clients.split(",")]
    with Postgres() as primary:
        script = primary.folder / "update.sql"
        script.write_text(SCRIPT)
        subprocess.run(
            [str(programs() / "pgbench"), "-h", str(primary.folder), "-U", USER, "-i", "-q", USER],
            check=True,
            capture_output=True,
        )
        alone = [pgbench(primary, clients, options.seconds, script) for clients in crowd]
        with standby_of(primary):
            while not ask(primary, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"):
                time.sleep(0.1)
            both = [pgbench(primary, clients, options.seconds, script) for clients in crowd]
            ask(primary, "ALTER SYSTEM RESET synchronous_standby_names")
            ask(primary, "SELECT pg_reload_conf()")
        each = key_bytes(primary, options.rows)
    version = subprocess.run([str(programs() / "postgres"), "-V"], capture_output=True, text=True, check=True).stdout
    rows = [
        f"| {count} | {one:.0f} | {two:.0f} | {two / one:.2f} |"
        for count, one, two in zip(crowd, alone, both, strict=True)
    ]
    lines = [
        f"## python -m bench.commits {' '.join(sys.argv[1:])}".rstrip(),
        "",
        f"{version.strip()}; {platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; load average "
        f"when it began {load:.1f}. One update a transaction, {options.seconds} s each; standby on the same disk.",
        "",
        "| clients | commits a second, alone | with a synchronous standby | ratio |",
        "|---|---|---|---|",
        *rows,
        "",
        f"A remembered case in the unique index by device and case: {each:.0f} bytes (n = {options.rows}).",
    ]
    print("\n".join(lines))
    with RESULTS.open("a") as file:
        file.write("\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
