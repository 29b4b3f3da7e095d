"""What the package takes on a Citus cluster beside one server; run it with scripts/bench --citus.
A measurement is one transaction, rolled back; three of the sources are spread by id."""

import statistics
import sys
import time

import psycopg
from support import FACT, deploy_scripts, psql, succeed

TABLES = ('business."规模明细"', 'customer."当年中标"', 'customer."当年流失"')
SPREAD = ", ".join(f"create_distributed_table('{table}', 'id')" for table in TABLES)
SITUATIONS = {  # at production size; December is stored, and nothing has changed since
    "first fill": "customer.refresh_monthly_snapshot('2026-01-31')",
    "re-run": "customer.refresh_monthly_snapshot('2025-12-31')",
    "restate": "customer.restate_monthly_snapshot('2025-12-31', 'measured')",
    "validation": "count(*) FROM customer.validate_monthly_snapshot('2025-12-31')",
}


def prepare(server: str, *spread: str) -> psycopg.Connection:
    succeed(psql(server, "-fsql/demo/source_system.sql", "-fsql/demo/sample_data.sql", *spread))
    succeed(deploy_scripts(server, folders=("deploy",)))
    session = psycopg.connect(server, autocommit=True)
    session.execute(f"SELECT {SITUATIONS['re-run']}")
    return session


def measure(session: psycopg.Connection, call: str) -> float:
    session.execute(f"VACUUM ANALYZE {FACT}")
    with session.transaction(force_rollback=True):
        start = time.perf_counter()
        session.execute(f"SELECT {call}")
        return 1000 * (time.perf_counter() - start)


options = " options='-c client_min_messages=error -c jit=off'"
servers = [prepare(options), prepare(sys.argv[1] + options, f"-cSELECT {SPREAD}")]
for server, versions in zip(servers, ("version()", "version(), citus_version()"), strict=True):
    print(*server.execute(f"SELECT {versions}").fetchone(), sep="\n")
for name, call in SITUATIONS.items():
    runs = [[measure(server, call) for server in servers] for _ in range(6)]  # the first warms up
    one, cluster = (statistics.median(times) for times in zip(*runs[1:], strict=True))
    print(f"{name:10} {one:6.0f} ms {cluster:6.0f} ms {cluster / one:5.2f} ×")
succeed(psql(sys.argv[1] + options, "-c", "DROP SCHEMA customer, business, mapping CASCADE"))
