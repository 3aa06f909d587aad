"""How long queries of a large audit log take: metamcp's own tool fills a database and measures."""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse

from . import report
from . import world as w

BEGIN = "<!-- bench-history:begin, written by scripts/bench history -->"
END = "<!-- bench-history:end -->"


def measure(size):
    """Rows of one database after the other, each filled to `size` bytes and removed."""
    out = {}
    folder = tempfile.mkdtemp(prefix="metamcp-history-", dir="build")
    try:
        out["SQLite"] = one(f"sqlite:{os.path.abspath(folder)}/history.db", size)
    finally:
        shutil.rmtree(folder)
    server = os.environ.get("METAMCP_TEST_POSTGRES_URL")
    if server:
        name = f"history_{os.getpid()}"
        psql(server, f"CREATE DATABASE {name}")
        try:
            url = urllib.parse.urlsplit(server)._replace(path="/" + name).geturl()
            out["PostgreSQL"] = one(url, size)
        finally:
            psql(server, f"DROP DATABASE {name} WITH (FORCE)")
    return out


def psql(server, command):
    subprocess.run(["psql", server, "-qc", command], check=True)


def one(url, size):
    done = subprocess.run([w.binary("audit_history"), "--database", url, "--bytes", str(size)],
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def render(data):
    filled = "; ".join(
        f"{name} {each['records']:,} records, {each['bytes'] / 1e9:.1f} GB, appended at "
        f"{each['appendedPerSecond']:,} a second" for name, each in data.items())
    names = list(next(iter(data.values()))["queries"])
    heads = ["query of the audit"] + [f"{name} p50 / p95, ms" for name in data]
    rows = [[name] + [f"{each['queries'][name]['p50Ms']:.1f} / {each['queries'][name]['p95Ms']:.1f}"
                      for each in data.values()] for name in names]
    return (f"### A large history\n\nMeasured on {report.machine()} with records of a year in batches of "
            f"1,000, each batch a transaction; on the database thread, without REST. {filled}. The aim "
            f"is a p95 below 100 ms.\n\n" + report.table(heads, rows))
