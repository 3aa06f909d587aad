"""Turns measurements into the tables of docs/performance.md."""

import os
import platform

BEGIN = "<!-- bench:begin, written by make bench -->"
END = "<!-- bench:end -->"
CLUSTER_BEGIN = "<!-- bench-cluster:begin, written by make bench -->"
CLUSTER_END = "<!-- bench-cluster:end -->"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def cpu_of(result):
    return sum(each["cpu_us_per_call"] for each in result["pids"].values())


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if "model name" in line), "?")
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, load average " \
           f"{os.getloadavg()[2]:.1f} over the quarter of an hour before the end, load generator " \
           "and upstreams on the same cores"


def throughput(rows):
    out = []
    for row in rows:
        direct, one, three = row["direct"], row["one"], row["three"]
        out.append([
            row["upstream"], row["era"], row["connections"],
            f"{direct['calls_per_s']:,.0f}",
            f"{one['calls_per_s']:,.0f}", f"{one['calls_per_s'] / direct['calls_per_s']:.2f}",
            f"{one['p50_us'] - direct['p50_us']:,.0f}", f"{cpu_of(one):.0f}",
            f"{three['calls_per_s']:,.0f}",
            f"{three['p50_us'] - direct['p50_us']:,.0f}", f"{cpu_of(three):.0f}"])
    head = ["upstream", "era", "connections", "direct, calls/s", "one process, calls/s", "ratio",
            "added p50, µs", "CPU µs per call", "three processes, calls/s", "added p50, µs",
            "CPU µs per call (all three)"]
    return table(head, out)


def half_load(rows):
    out = []
    for row in rows:
        if "half" not in row:
            continue
        for name in ("one", "three"):
            cell = row["half"][name]
            direct, relay, through = cell["direct"], cell["relay"], cell["through"]
            out.append([
                row["upstream"], row["era"], name, f"{cell['rate']:,.0f}",
                f"{direct['p50_us']:.0f} / {direct['p99_us']:.0f}",
                f"{relay['p50_us']:.0f} / {relay['p99_us']:.0f}",
                f"{through['p50_us']:.0f} / {through['p99_us']:.0f}",
                f"{through['p50_us'] - direct['p50_us']:.0f}",
                f"{through['p99_us'] - direct['p99_us']:.0f}", f"{cell['waited_us']:.0f}"])
    head = ["upstream", "era", "processes", "calls/s offered", "direct p50 / p99, µs",
            "relay p50 / p99, µs", "through p50 / p99, µs", "added p50, µs", "added p99, µs",
            "waited for a core, µs per call"]
    return table(head, out)


def scaling(data):
    rows = [[row["upstreams"], f"{row['ready_s'] * 1000:.0f}", f"{row['usable_s']:.2f}",
             f"{row['rss_kib'] / 1024:.1f}", f"{row['cpu_us_per_call']:.1f}"]
            for row in data["rows"]]
    text = table(["stdio upstreams", "listening after, ms", "all usable after, s",
                  "gateway memory, MiB", "gateway CPU, µs per call"], rows)
    return text + (f"\n\nMemory grows by {data['kib_per_upstream']:.0f} KiB per upstream "
                   f"(R² {data['memory_r2']:.4f}); CPU time for 400 calls to each upstream, R² "
                   f"{data['cpu_r2']:.4f}.")


def aims(data):
    """What issue-level aims say against what was measured."""
    rows = data["calls"]["rows"]
    best = max(row["one"]["calls_per_s"] for row in rows)
    cost = sorted(cpu_of(row["one"]) for row in rows)
    cheap = sum(each <= 40 for each in cost)
    halves = [row["half"]["one"] for row in rows if "half" in row]
    added = sorted(h["through"]["p99_us"] - h["direct"]["p99_us"] for h in halves)
    streams = data["streams"]
    catalog = data["catalog"]
    last = data["scaling"]["rows"]
    fifty = next(row for row in last if row["upstreams"] == 50)
    cells = [
        (f"gateway CPU per call, one process ({cheap} of {len(cost)} rows below)", "≤ 40 µs",
         f"{cost[0]:.0f} to {cost[-1]:.0f} µs", cost[-1] <= 40),
        ("calls per second, best way", "≥ 25,000", f"{best:,.0f}", best >= 25000),
        ("added p99 at half load", "< 400 µs", f"{added[0]:.0f} to {added[-1]:.0f} µs",
         added[-1] < 400),
        ("memory idle", "< 25 MB", f"{data['idle']['rss_kib'] * 1024 / 1e6:.1f} MB",
         data["idle"]["rss_kib"] * 1024 < 25e6),
        ("memory at 50 upstreams", "< 500 MB", f"{fifty['rss_kib'] * 1024 / 1e6:.0f} MB",
         fifty["rss_kib"] * 1024 < 500e6),
        ("discovery of 50 upstreams", "< 5 s", f"{fifty['usable_s']:.2f} s",
         fifty["usable_s"] < 5),
        ("memory over upstreams, R²", "≥ 0.98", f"{data['scaling']['memory_r2']:.4f}",
         data["scaling"]["memory_r2"] >= 0.98),
        ("CPU over upstreams, R²", "≥ 0.98", f"{data['scaling']['cpu_r2']:.4f}",
         data["scaling"]["cpu_r2"] >= 0.98),
        ("first page of tools/list, 10,000 tools, p99", "< 2 ms",
         f"{catalog['list']['p99_us'] / 1000:.2f} ms", catalog["list"]["p99_us"] < 2000),
        ("search over 10,000 tools, p99", "< 10 ms",
         f"{catalog['search']['p99_us'] / 1000:.2f} ms", catalog["search"]["p99_us"] < 10000),
        ("memory per idle stream", "≤ 20 KiB",
         " / ".join(f"{s['kib_each']:.1f} KiB ({era})" for era, s in streams.items()),
         all(s["kib_each"] <= 20 for s in streams.values())),
        *workflow_aims(data["workflows"])]
    return table(["what", "aim", "measured", ""],
                 [[*cell[:3], "met" if cell[3] else "**missed**"] for cell in cells])


def same_era(rows, cross):
    """CPU of a call of that client to an upstream of its own era, over the same transport."""
    kind = "HTTP" if cross["upstream"].startswith("web") else "stdio"
    return next(cpu_of(row["one"]) for row in rows
                if row["upstream"] == kind and row["era"] == cross["client"]
                and row["connections"] == 32)


def questions(data):
    rows = [[row["era"], f"{row['none']:,.0f}", f"{row['all']:,.0f}",
             f"{row['all'] / row['none']:.2f}"] for row in data["declared"]]
    parked = data["parked"]
    per_100mb = 100e6 / (parked["kib_each"] * 1024)
    return ("100 clients call a stdio server that never asks, and declare nothing or everything "
            "that a server could ask; the best of three runs of each, in turn.\n\n"
            + table(["era", "none declared, calls/s", "all declared, calls/s", "ratio"], rows)
            + f"\n\n{parked['calls']:,} calls parked at a legacy HTTP server that had asked: "
            f"{parked['kib_each']:.1f} KiB each, so {per_100mb:,.0f} in 100 MB.")


def replicas(rows):
    """CPU per call by service, and what of it a second core or machine can take."""
    out = []
    for row in rows:
        cpu = row["cpu_us"]
        gateway, connector = cpu.get("gateway", 0), cpu.get("connector", 0)
        name = "all in one process" if row["replicas"] == 0 else f"{row['replicas']} of each"
        count = max(row["replicas"], 1)
        busiest = max(gateway, connector) / count
        out.append([name, f"{gateway:.0f}", f"{connector:.0f}" if connector else "",
                    f"{cpu.get('catalog', 0):.1f}" if connector else "", f"{sum(cpu.values()):.0f}",
                    f"{row['calls_per_s']:,.0f}", f"{1e6 / busiest:,.0f}"])
    return table(["replicas", "gateways, CPU µs per call", "connectors", "catalog", "all",
                  "calls/s here", "calls/s with a core for each process"], out)


def cluster(data):
    writes = table(
        ["database", "transaction of two rows p50 / p95, µs", "its CPU here, µs", "a second, one writer",
         "change by REST p50 / p95, µs", "its CPU, µs", "changes/s, 16 at once"],
        [[row["database"], f"{row['transaction']['p50_us']:.0f} / {row['transaction']['p95_us']:.0f}",
          f"{row['transaction']['cpu_us']:.0f}", f"{row['transaction']['per_s']:,.0f}",
          f"{row['p50_us']:,.0f} / {row['p95_us']:,.0f}", f"{row['cpu_us']:.0f}",
          f"{row['at_once_per_s']:,.0f}"] for row in data["writes"]])
    pools = table(["connections", "writes/s", "p95, µs", "reads/s", "p95, µs"],
                  [[row["pool"], f"{row['write']['per_s']:,.0f}", f"{row['write']['p95_us']:,.0f}",
                    f"{row['read']['per_s']:,.0f}", f"{row['read']['p95_us']:,.0f}"]
                   for row in data["pools"]])
    return "\n\n".join([
        "## Replicas and databases",
        f"Measured on {machine()}.",
        "### CPU by service",
        "Closed loop, 48 connections, stdio servers, plaintext between processes. All processes "
        "share the cores, so *calls/s here* does not rise with replicas; what a cluster with a core "
        "for each process takes follows from the CPU of the busier kind, divided by its replicas.",
        replicas(data["replicas"]),
        "### Writes",
        "PostgreSQL on the same machine with fsync off; SQLite as `meta-mcp` opens it. A change by "
        "REST is POST of a virtual server.", writes,
        "### Connections to PostgreSQL",
        "16 threads share a pool (`database.poolSize`, 4 by default).", pools])


def mode_rows(data):
    rows = [[row["mode"], row["connections"], f"{row['one']['calls_per_s']:,.0f}",
             f"{row['one']['p50_us']:,.0f}", f"{row['one']['p99_us']:,.0f}", f"{cpu_of(row['one']):.0f}"]
            for row in data["rows"]]
    return rows


MODE_HEADS = ["connections", "calls/s", "p50 µs", "p99 µs", "CPU µs per call"]


def audit(data):
    return ("One process, SQLite, HTTP upstream, 2026-07-28; *synced* is audit.spoolSyncMs 0. The "
            "process's CPU includes storing the records.\n\n"
            + table(["audit.mode", *MODE_HEADS], mode_rows(data)))


def traces(data):
    return ("One process, HTTP upstream, 2026-07-28, the audit buffered; by the share of calls whose "
            "traces are recorded (`telemetry.traces.per10000`) and kept in memory. An export costs its "
            "thread besides.\n\n"
            + table(["recorded", *MODE_HEADS], mode_rows(data)))


def render(data):
    calls = data["calls"]
    catalog = data["catalog"]
    cross = table(["client", "upstream", "calls/s at 32 connections", "CPU µs per call",
                   "of one era, µs", "bridging adds, µs"],
                  [[c["client"], c["upstream"], f"{c['one']['calls_per_s']:,.0f}",
                    f"{cpu_of(c['one']):.0f}", f"{same_era(calls['rows'], c):.0f}",
                    f"{cpu_of(c['one']) - same_era(calls['rows'], c):+.0f}"]
                   for c in calls["cross"]])
    streams = table(["era", "open streams", "KiB each", "CPU while idle, % of a core"],
                    [[era, f"{s['streams']:,}", f"{s['kib_each']:.1f}",
                      f"{s['cpu_share_idle'] * 100:.1f}"]
                     for era, s in data["streams"].items()])
    top = "`perf` was not available."
    if calls["profile"]:
        where = ", ".join(f"{name} {share:.0f} %" for name, share in calls["profile"]["modules"])
        top = f"By module: {where}.\n\n" + table(
            ["share, %", "where", "function"],
            [[f"{share:.1f}", module, f"`{name[:80]}`"]
             for share, module, name in calls["profile"]["functions"]])
    loaded = calls["loaded_kib"]["gateway"]
    three = ", ".join(f"{name} {kib / 1024:.1f} MiB"
                      for name, kib in calls["loaded_three_kib"].items())
    parts = [
        f"Measured on {machine()}. Every answer was checked; a wrong one fails the run.",
        "### Aims", aims(data),
        "### A call, directly and through the gateway",
        "Closed loop, one request on its way per connection, client and upstream of one era. "
        "*Added* is against the direct call in the same run.",
        throughput(calls["rows"]),
        "### At half load",
        "Open loop at half the throughput of 32 connections; a late call counts from when it was "
        "due. Medians of five rounds that alternate between direct and through. *Waited for a core*: "
        "how long the gateway's threads were ready and had none, by the kernel's count. *Relay*: a "
        "copier of TCP before the HTTP upstream that spends the processor time of a gateway and does "
        "nothing else; its tail is what three busy processes on these cores cost.",
        half_load(calls["rows"]),
        "### Between the eras",
        "*Of one era* is the same client's call to a server of its own era on that transport.",
        cross,
        "### The audit", audit(data["audit"]),
        "### Traces", traces(data["traces"]),
        "### Questions", questions(data["questions"]),
        "### Memory",
        f"Idle {data['idle']['rss_kib'] / 1024:.1f} MiB, of which "
        f"{data['idle']['own_kib'] / 1024:.1f} MiB are its own and the rest pages of the program "
        f"and its libraries; after the load above {loaded / 1024:.1f} "
        f"MiB in one process; in three: {three}.",
        scaling(data["scaling"]), streams,
        "### 10,000 tools of 100 upstreams",
        f"Gateway memory {catalog['rss_kib'] / 1024:.0f} MiB. First page of `tools/list` (1,000 "
        f"tools): p50 {catalog['list']['p50_us'] / 1000:.2f} ms, p99 "
        f"{catalog['list']['p99_us'] / 1000:.2f} ms (modern), p99 "
        f"{catalog['list_legacy']['p99_us'] / 1000:.2f} ms (legacy). Search over REST: p50 "
        f"{catalog['search']['p50_us'] / 1000:.2f} ms, p99 "
        f"{catalog['search']['p99_us'] / 1000:.2f} ms.",
        "### Workflows",
        "Runs of ten steps in a row, each a tool call over HTTP with the result of the one before, "
        "started at once. A step that may not be repeated is on disk before its call and after it, "
        "one that may only after it. PostgreSQL and SQLite flush to disk at each commit. *Beside the "
        "call* is without the median of a call over REST, which is the same call chain. With many "
        "runs at once steps wait for each other, so that the time from step to step is the runs "
        "divided by the steps per second.",
        workflow_rows(data["workflows"]),
        "### Where the time goes",
        "`perf` on the gateway while 32 modern connections call a stdio upstream.", top]
    return "\n\n".join(parts)


def workflow_aims(rows):
    """Steps that may be repeated; the overhead where steps do not wait for each other."""
    of = [row for row in rows if row["kind"] == "repeatable"]
    out = []
    for backend, aim in (("SQLite", 300), ("PostgreSQL", 1000)):
        best = max(row["steps_per_s"] for row in of if row["backend"] == backend)
        out.append((f"workflow steps per second, {backend}, flushed to disk", f"≥ {aim:,}",
                    f"{best:,.0f}", best >= aim))
    few = [max(0, row["p95_us"] - row["direct_us"]) / 1000 for row in of if row["runs"] == 10]
    out.append(("p95 of a workflow step beside its call, ten runs at once", "< 15 ms",
                f"{min(few):.1f} to {max(few):.1f} ms", max(few) < 15))
    return out


def workflow_rows(rows):
    out = [[row["backend"], row["processes"], f"{row['runs']:,}",
            "yes" if row["kind"] == "repeatable" else "no", f"{row['steps_per_s']:,.0f}",
            f"{row['p50_us'] / 1000:.1f} / {row['p95_us'] / 1000:.1f}",
            f"{max(0, row['p50_us'] - row['direct_us']) / 1000:.1f} / "
            f"{max(0, row['p95_us'] - row['direct_us']) / 1000:.1f}"] for row in rows]
    head = ["database", "workflow processes", "runs at once", "repeatable steps", "steps/s",
            "step to step p50 / p95, ms", "of it beside the call p50 / p95, ms"]
    return table(head, out)


def write(path, text, begin=BEGIN, end=END):
    """Puts `text` between the markers of a document, which is made if need be."""
    head = "# Performance\n\n`make bench` measures on the machine at hand and rewrites the part " \
           "below.\n\n"
    old = open(path).read() if os.path.exists(path) else head + begin + "\n" + end + "\n"
    if begin not in old:
        old += "\n" + begin + "\n" + end + "\n"
    before, rest = old.split(begin, 1)
    after = rest.split(end, 1)[1]
    with open(path, "w") as f:
        f.write(before + begin + "\n" + text + "\n" + end + after)
