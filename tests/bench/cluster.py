"""What replicas and the database cost. Each returns plain data."""

import http.client
import json
import os
import subprocess
import threading
import time
from urllib.parse import urlsplit

from . import world as w

SERVERS = 6
CONNECTIONS = 48
SECONDS = 3
WRITES = 200
WRITERS = 16
POOLS = (1, 2, 4, 8, 16)


def by_service(result):
    """CPU per call of all processes of a service together; their names begin with it."""
    out = {}
    for name, use in result["pids"].items():
        service = name.split("-")[0]
        out[service] = out.get(service, 0) + use["cpu_us_per_call"]
    return out


def replicas(world):
    """CPU per call by service, all in one process and with 1, 2 and 3 gateways and connectors."""
    servers = {f"io{i}": w.stdio_server(f"io{i}") for i in range(SERVERS)}
    tools = [f"{name}__echo" for name in servers]
    words = [word for tool in tools for word in ("--tool", tool)]
    rows = []
    for count in (0, 1, 2, 3):
        place = world.gateway(servers) if count == 0 else world.replicas(servers, count)
        urls = [place.url] if count == 0 else place.urls
        for url in urls:
            w.wait_for_tools(url, tools)
        arguments = ["--connections", CONNECTIONS, "--seconds", SECONDS, *words]
        for url in urls[1:]:
            arguments += ["--url", url]
        result = w.load(*arguments, url=urls[0], pids=place.pids)
        rows.append({"replicas": count, "calls_per_s": result["calls_per_s"],
                     "p50_us": result["p50_us"], "p99_us": result["p99_us"],
                     "cpu_us": by_service(result)})
        world.end(place, *place.others)
    return rows


def create(base, first, count, times):
    """Makes `count` virtual servers by REST; appends how long each took, in seconds."""
    address = urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    for i in range(first, first + count):
        body = json.dumps({"meta": {"name": f"bench-{i}"}})
        begun = time.monotonic()
        connection.request("POST", "/api/v1/virtual-servers", body,
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"virtual server {i}: {answer.status} {text[:300]}")
        times.append(time.monotonic() - begun)
    connection.close()


def at_once(base, writers, each, first):
    """Several operators at once; writes per second."""
    times, failed = [], []

    def run(which):
        try:
            create(base, first + which * each, each, times)
        except RuntimeError as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(writers)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return writers * each / (time.monotonic() - begun)


def databases(world):
    """SQLite, and PostgreSQL where scripts/with_postgres has started one."""
    yield "SQLite", None
    server = os.environ.get("METAMCP_TEST_POSTGRES_URL")
    if server:
        yield "PostgreSQL", server


def store(url):
    return {"database": {"url": url}} if url else {}


def transactions(url, *arguments):
    """What metamcp-bench-database says."""
    done = subprocess.run([w.binary("metamcp-bench-database"), "--url", url,
                           *[str(a) for a in arguments]], capture_output=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())
    return json.loads(done.stdout)


def writes(world):
    """What a transaction and an operator's change cost: one after the other, and many at once."""
    rows = []
    for name, server in databases(world):
        url = world.database(server) if server else f"sqlite:{world.folder}/writes.db"
        plain = transactions(url, "--seconds", SECONDS)
        gateway = world.gateway({}, store(world.database(server) if server else None))
        create(gateway.base, 0, 20, [])
        cpu = w.cpu_us(gateway.pid)
        times = []
        create(gateway.base, 1000, WRITES, times)
        cpu = w.cpu_us(gateway.pid) - cpu
        times.sort()
        rows.append({"database": name, "transaction": plain,
                     "p50_us": times[len(times) // 2] * 1e6,
                     "p95_us": times[len(times) * 95 // 100] * 1e6, "cpu_us": cpu / WRITES,
                     "at_once_per_s": at_once(gateway.base, WRITERS, 20, 5000)})
        world.end(gateway)
    return rows


def pools(world):
    """Transactions of 16 threads by the number of PostgreSQL connections that they share."""
    server = os.environ.get("METAMCP_TEST_POSTGRES_URL")
    rows = []
    for pool in POOLS if server else ():
        url = world.database(server)
        common = ["--pool", pool, "--writers", WRITERS, "--seconds", SECONDS]
        rows.append({"pool": pool, "write": transactions(url, *common),
                     "read": transactions(url, *common, "--read")})
    return rows
