"""Runs of workflows: how many steps a second, and what a step costs beside its call."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import subprocess
import threading
import time

from . import world as w

STEPS = 10
PATIENCE = 300


@contextlib.contextmanager
def postgres():
    """A server of its own that writes its log to disk at each commit."""
    env = dict(os.environ, METAMCP_TEST_POSTGRES_FSYNC="on")
    process = subprocess.Popen(
        ["scripts/with_postgres", "sh", "-c", 'echo "$METAMCP_TEST_POSTGRES_URL"; cat'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


class Rest:
    """The REST API of a gateway, with a connection for each thread."""

    def __init__(self, base):
        self.host = base.split("//", 1)[1]
        self.local = threading.local()

    def call(self, method, path, body=None):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.host, timeout=60)
        headers = {"Content-Type": "application/json"}
        self.local.connection.request(method, "/api/v1" + path, json.dumps(body) if body else None, headers)
        response = self.local.connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {text[:300]}")
        return json.loads(text)


def source(name, repeatable):
    """Steps one after the other, each with the echo of the one before."""
    lines = [f"name: {name}", "steps:"]
    for i in range(STEPS):
        text = "hello" if i == 0 else f"${{steps.s{i - 1} | tostring | .[0:20]}}"
        after = f", dependsOn: s{i - 1}" if i else ""
        lines.append(f"  - {{id: s{i}, tool: web.echo, arguments: {{text: \"{text}\"}}"
                     f"{after}, repeatable: {str(repeatable).lower()}}}")
    return "\n".join(lines) + "\n"


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def step_times(run):
    """From the end of one step to the end of the next, without the first."""
    steps = sorted((step for step in run["steps"] if step["kind"] == "tool"),
                   key=lambda step: int(step["endedUs"]))
    ends = [int(step["endedUs"]) for step in steps]
    return [after - before for before, after in zip(ends, ends[1:])]


def measure(rest, name, runs):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        started = list(pool.map(
            lambda _: rest.call("POST", f"/workflows/{name}/runs", {"input": {}})["run"], range(runs)))
    left = {run["id"] for run in started}
    ended = {}
    until = time.monotonic() + PATIENCE
    while left:
        if time.monotonic() > until:
            raise RuntimeError(f"{len(left)} of {runs} runs of {name} have not ended")
        for run_id in list(left)[:50]:
            run = rest.call("GET", f"/runs/{run_id}")["run"]
            if run["state"] == "completed":
                ended[run_id] = run
                left.discard(run_id)
            elif run["state"] in ("failed", "cancelled", "needs-decision"):
                raise RuntimeError(f"{name}: {json.dumps(run)[:500]}")
        if left:
            time.sleep(0.2)
    begun = min(int(run["createdUs"]) for run in ended.values())
    over = max(int(run["endedUs"]) for run in ended.values())
    times = [each for run in ended.values() for each in step_times(run)]
    return {"runs": runs, "steps_per_s": runs * STEPS / ((over - begun) / 1e6),
            "p50_us": percentile(times, 0.5), "p95_us": percentile(times, 0.95)}


def cell(world, gateway, direct_us):
    rest = Rest(gateway.base)
    w.wait_for_tools(gateway.url, ["web__echo"])
    out = []
    for name, repeatable in (("repeatable", True), ("once", False)):
        rest.call("POST", "/workflows", {"source": source(name, repeatable)})
        measure(rest, name, 10)  # warm: connections, compiled expressions
        for runs in (10, 100, 1000):
            row = measure(rest, name, runs)
            row["kind"] = name
            row["direct_us"] = direct_us
            out.append(row)
    return out


def direct_call_us(gateway):
    """A tool call through the gateway by REST, as steps make it: the median."""
    rest = Rest(gateway.base)
    w.wait_for_tools(gateway.url, ["web__echo"])
    times = []
    for _ in range(200):
        begun = time.monotonic()
        rest.call("POST", "/call", {"method": "tools/call", "target": "web.echo", "arguments": {"text": "hello"}})
        times.append((time.monotonic() - begun) * 1e6)
    return percentile(times, 0.5)


def split(world, servers, url, workflows):
    """Gateway, catalog and connector in one process, workflow services in processes of their own."""
    shared = {"database": {"url": url, "poolSize": 6}}
    config, data = world.config(servers, shared)
    edge = w.free_address()
    gateway = world.start(
        [w.binary("meta-mcp"), "serve", "--config", config, "--data-dir", data, "--listen", "127.0.0.1:0",
         "--services", "gateway,catalog,connector"], env=dict(os.environ, META_MCP_SERVICES_LISTEN=edge))
    world.addresses(gateway, {"gateway": gateway.pid})
    for i in range(workflows):
        world.start([w.binary("meta-mcp-workflow"), "--config", config, "--data-dir", f"{data}w{i}",
                     "--listen", w.free_address(), "--catalog", edge])
    return gateway


def workflows(world):
    echo = world.echo_http("web")
    servers = {"web": {"type": "http", "url": echo.url}}
    rows = []
    one = world.gateway(servers)
    direct_us = direct_call_us(one)
    for row in cell(world, one, direct_us):
        rows.append(dict(row, backend="SQLite", processes=1))
    world.end(one)
    with postgres() as url:
        for processes in (1, 3):
            gateway = split(world, servers, url, processes)
            for row in cell(world, gateway, direct_us):
                rows.append(dict(row, backend="PostgreSQL", processes=processes))
            for program in list(world.programs)[1:]:
                world.end(program)
    return rows
