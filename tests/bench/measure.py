"""The measurements. Each returns plain data."""

import glob
import json
import os
import resource
import statistics
import subprocess
import time

from . import world as w

CONNECTIONS = (1, 32, 256)
SECONDS = 1.5
WARMUP = 0.3
HALF_ROUNDS = 5
# Per piece copied, two of them a call: with them the relay costs about what the gateway does.
RELAY_WORK_US = 8


def paths(world, http):
    """The four ways a call can take: era on both sides, HTTP or stdio upstream."""
    servers = {}
    for era in ("modern", "legacy"):
        servers[f"web-{era}"] = {"type": "http", "url": http.url, "era": era}
        servers[f"io-{era}"] = w.stdio_server(f"io-{era}", era)
    return servers


def once(era, connections, tool, rate=0, **where):
    arguments = ["--era", era, "--connections", connections, "--seconds", SECONDS,
                 "--warmup", WARMUP, "--tool", tool, "--rate", rate]
    return w.load(*arguments, **where)


def half_load(era, tool, rate, direct, gateway, relay):
    """Latencies at a rate, directly, through a relay and through a gateway: medians of rounds that
    take turns. One stall of the machine of 10 ms moves the p99 of a whole round."""
    waited = sum(w.waited_us(pid) for pid in gateway.pids.values())
    rounds = [(once(era, 32, "echo", rate, **direct),
               once(era, 32, "echo", rate, url=relay.url),
               once(era, 32, tool, rate, url=gateway.url, pids=gateway.pids))
              for _ in range(HALF_ROUNDS)]
    waited = sum(w.waited_us(pid) for pid in gateway.pids.values()) - waited
    out = {"rate": rate, "waited_us": waited / sum(each[2]["calls"] for each in rounds)}
    for at, name in enumerate(("direct", "relay", "through")):
        out[name] = {key: statistics.median(each[at][key] for each in rounds)
                     for key in ("p50_us", "p95_us", "p99_us")}
    return out


def calls(world):
    """Throughput, latency and CPU of each way, directly and through one and three processes."""
    http = world.echo_http("web")
    relay = world.relay(http, RELAY_WORK_US)
    one = world.gateway(paths(world, http))
    three = world.cluster(paths(world, http))
    tools = [f"{kind}-{era}__echo" for kind in ("web", "io") for era in ("modern", "legacy")]
    for gateway in (one, three):
        w.wait_for_tools(gateway.url, tools)
    stdio = [w.binary("metamcp-fixture-echo"), "--stdio"]
    rows = []
    for kind in ("web", "io"):
        for era in ("modern", "legacy"):
            tool = f"{kind}-{era}__echo"
            direct = {"url": http.url} if kind == "web" else {"stdio": stdio}
            for connections in CONNECTIONS:
                row = {"upstream": "HTTP" if kind == "web" else "stdio", "era": era,
                       "connections": connections,
                       "direct": once(era, connections, "echo", **direct)}
                for name, gateway in (("one", one), ("three", three)):
                    row[name] = once(era, connections, tool, url=gateway.url, pids=gateway.pids)
                rows.append(row)
            # Half load: what a caller notices when the gateway is neither idle nor full.
            busiest = rows[-2]
            half = {"upstream": busiest["upstream"], "era": era}
            for name, gateway in (("one", one), ("three", three)):
                rate = busiest[name]["calls_per_s"] / 2
                half[name] = half_load(era, tool, rate, direct, gateway, relay)
            busiest["half"] = half
    cross = [{"client": client, "upstream": f"{kind} {other}",
              "one": once(client, 32, f"{kind}-{other}__echo", url=one.url, pids=one.pids)}
             for kind in ("web", "io")
             for client, other in (("modern", "legacy"), ("legacy", "modern"))]
    loaded = {name: w.rss_kib(pid) for name, pid in one.pids.items()}
    loaded_three = {name: w.rss_kib(pid) for name, pid in three.pids.items()}
    top = profile(one, "io-modern__echo")
    world.end(one, three, *three.others, relay, http)
    return {"rows": rows, "cross": cross, "loaded_kib": loaded, "loaded_three_kib": loaded_three,
            "profile": top}


def questions(world):
    """What being askable costs where nobody asks, and what a call costs that waits for an answer."""
    gateway = world.gateway({"io": w.stdio_server("io", "legacy")})
    w.wait_for_tools(gateway.url, ["io__echo"])
    rows = []
    for era in ("modern", "legacy"):
        common = ["--era", era, "--connections", 100, "--seconds", SECONDS, "--warmup", WARMUP,
                  "--tool", "io__echo"]
        # In turn, so that both see the same machine.
        pairs = [(w.load(*common, url=gateway.url), w.load(*common, "--declares", url=gateway.url))
                 for _ in range(3)]
        best = [max(pair[i]["calls_per_s"] for pair in pairs) for i in (0, 1)]
        rows.append({"era": era, "none": best[0], "all": best[1]})
    world.end(gateway)
    node = glob.glob(".cache/node/node_modules/node-linux-*/bin/node")[0]
    parked = subprocess.run([node, "tests/bench/parked.mjs", "--calls", "4000"], check=True,
                            env={**os.environ, "METAMCP_BIN": w.binary("meta-mcp")},
                            capture_output=True, timeout=300).stdout
    return {"declared": rows, "parked": json.loads(parked)}


def short_name(symbol):
    """A function's name without its template arguments."""
    if symbol.startswith("_Z"):
        return "coroutine frame (Asio co_spawn and parallel_group)"
    name, depth = "", 0
    for letter in symbol.replace("operator<", "operator less"):
        depth += letter == "<"
        if depth == 0:
            name += letter
        depth -= letter == ">"
    return name.split("(")[0].strip()


def profile(gateway, tool):
    """The functions that cost most while 32 modern connections call a stdio upstream."""
    data = os.path.join("build", "logs", "bench.perf")
    os.makedirs(os.path.dirname(data), exist_ok=True)
    command = ["perf", "record", "-q", "-F", "997", "-p", str(gateway.pid), "-o", data,
               "--", "sleep", "2"]
    try:
        recording = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return None
    w.load("--connections", 32, "--seconds", 2.5, "--tool", tool, url=gateway.url)
    if recording.wait() != 0:
        return None
    report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-q",
                             "-F", "overhead,dso,symbol", "--percent-limit", "0.05"],
                            capture_output=True, timeout=120).stdout.decode()
    shares = {}
    for line in report.splitlines():
        parts = line.split(None, 2)
        if len(parts) == 3 and parts[0].endswith("%"):
            name = short_name(parts[2].split("] ", 1)[-1].strip())
            key = (parts[1], name)
            shares[key] = shares.get(key, 0) + float(parts[0][:-1])
    modules = {}
    for (module, _), share in shares.items():
        modules[module] = modules.get(module, 0) + share
    top = sorted(shares.items(), key=lambda each: -each[1])
    return {"modules": sorted(modules.items(), key=lambda each: -each[1])[:6],
            "functions": [[share, *key] for key, share in top[:20]]}


def half_rate(gateways, rate, rounds):
    """Latencies of both gateways at a rate, by turns: medians. `gateways`: name to (gateway, how)."""
    runs = {name: [] for name in gateways}
    for _ in range(rounds):
        for name, (gateway, how) in gateways.items():
            runs[name].append(once("modern", 32, "web__echo", rate, url=gateway.url,
                                   pids=gateway.pids, **how))
    out = {"rate": rate}
    for name, each in runs.items():
        out[name] = {key: statistics.median(one[key] for one in each) for key in ("p50_us", "p99_us")}
    return out


def audit(world):
    """What recording adds to a call, by mode."""
    modes = {"off": {"mode": "off"}, "buffered": {"mode": "buffered"},
             "buffered, synced": {"mode": "buffered", "spoolSyncMs": 0}, "strict": {"mode": "strict"}}
    return {"rows": in_turn(world, {name: {"audit": mode} for name, mode in modes.items()})}


def traces(world):
    """What spans add to a call, by how many traces are recorded; they stay in the process's ring."""
    def kept(per10000):
        return {"telemetry": {"traces": {"keep": 10000, "per10000": per10000}}}
    return {"rows": in_turn(world, {"off": {}, "0 %": kept(0), "1 %": kept(100),
                                    "100 %": kept(10000)})}


def in_turn(world, modes):
    """Calls through a gateway of each configuration, by turns, so that all see the same machine; the
    best of three, as disks and neighbours vary."""
    http = world.echo_http("web")
    server = {"web": {"type": "http", "url": http.url, "era": "modern"}}
    gateways = {name: world.gateway(server, more) for name, more in modes.items()}
    for gateway in gateways.values():
        w.wait_for_tools(gateway.url, ["web__echo"])
    rows = []
    for connections in (1, 32, 256):
        runs = {name: [] for name in modes}
        for _ in range(3):
            for name, gateway in gateways.items():
                runs[name].append(once("modern", connections, "web__echo", url=gateway.url,
                                       pids=gateway.pids))
        for name, each in runs.items():
            rows.append({"mode": name, "connections": connections,
                         "one": max(each, key=lambda run: run["calls_per_s"])})
    world.end(*gateways.values(), http)
    return rows


def idle(world):
    """A gateway without upstreams."""
    gateway = world.gateway({})
    time.sleep(1)
    size = w.rss_kib(gateway.pid)
    with open(f"/proc/{gateway.pid}/status") as f:
        own = next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))
    world.end(gateway)
    return {"rss_kib": size, "own_kib": own}


def r_squared(xs, ys):
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = (sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys))
             / sum((x - mean_x) ** 2 for x in xs))
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys))
    total = sum((y - mean_y) ** 2 for y in ys)
    return slope, 1 - rest / total if total > 0 else 1.0


def scaling(world):
    """Memory, CPU and start at 5 to 100 stdio upstreams."""
    rows = []
    for count in (5, 10, 25, 50, 100):
        names = [f"s{i}" for i in range(count)]
        begun = time.monotonic()
        gateway = world.gateway({name: w.stdio_server(name) for name in names})
        ready = time.monotonic() - begun
        usable = w.wait_for_tools(gateway.url, [f"{name}__who" for name in names])
        before = w.cpu_us(gateway.pid)
        tools = [word for name in names for word in ("--tool", f"{name}__who")]
        result = w.load("--connections", 32, "--calls", 400 * count, *tools, url=gateway.url,
                        pids=gateway.pids)
        cpu = w.cpu_us(gateway.pid) - before
        rows.append({"upstreams": count, "ready_s": ready, "usable_s": usable,
                     "rss_kib": w.rss_kib(gateway.pid), "cpu_ms": cpu / 1000,
                     "cpu_us_per_call": cpu / result["calls"]})
        world.end(gateway)
    xs = [row["upstreams"] for row in rows]
    memory = r_squared(xs, [row["rss_kib"] for row in rows])
    cpu = r_squared(xs, [row["cpu_ms"] for row in rows])
    return {"rows": rows, "kib_per_upstream": memory[0], "memory_r2": memory[1],
            "cpu_r2": cpu[1]}


def catalog(world):
    """10,000 tools from 100 upstreams."""
    servers = {f"c{i}": w.stdio_server(f"c{i}", tools=92) for i in range(100)}
    gateway = world.gateway(servers)
    w.wait_for_tools(gateway.url, [f"c{i}__echo" for i in range(100)])
    size = w.rss_kib(gateway.pid)
    first = w.load("--op", "list", "--seconds", 1.5, url=gateway.url, pids=gateway.pids)
    legacy = w.load("--op", "list", "--era", "legacy", "--seconds", 1.5, url=gateway.url)
    search = gateway.base + "/api/v1/items:search?query=generated+tool+number+42&limit=10"
    found = w.load("--op", "get", "--seconds", 1.5, url=search)
    world.end(gateway)
    return {"rss_kib": size, "list": first, "list_legacy": legacy, "search": found}


def streams(world):
    """Idle listen streams, as many as descriptors allow up to 10,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10000, hard - 300)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 300)), hard))
    out = {}
    for era in ("modern", "legacy"):
        limits = {"streamsPerClientMax": 20000}
        gateway = world.gateway({"io": w.stdio_server("io")}, {"limits": limits})
        w.wait_for_tools(gateway.url, ["io__echo"])
        before = w.rss_kib(gateway.pid)
        held = world.start([w.binary("metamcp-load"), "--url", gateway.url, "--op", "streams",
                            "--era", era, "--connections", str(count)])
        cpu = w.cpu_us(gateway.pid)
        time.sleep(2)
        cpu = w.cpu_us(gateway.pid) - cpu
        out[era] = {"streams": count, "kib_each": (w.rss_kib(gateway.pid) - before) / count,
                    "cpu_share_idle": cpu / 2e6, "said": held.line.strip()}
        world.end(held, gateway)
    return out
