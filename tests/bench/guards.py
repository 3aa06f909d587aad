"""What is asked of each call together: a token, a thousand rules, pins, limits and the audit, against
the bare call. Both gateways take turns, so that they see the same machine."""

import os
import statistics
import subprocess

from . import measure, report, world as w

RULES = 1000
ROUNDS = 5
SECRET = "bench-secret-0123456789-0123456789-abcdef"
BEGIN = "<!-- bench-guards:begin, written by make bench -->"
END = "<!-- bench-guards:end -->"


def rules():
    """As gateway/access/access_benchmark.cc: most name a tool or a server, some are globs over any
    tool, a twentieth look at arguments of any tool. None decides the call that is measured."""
    out = []
    for i in range(RULES):
        head = f"{'deny' if i % 3 == 0 else 'allow'} r{i} if "
        if i % 20 == 0:
            out.append(f"{head}role = nobody and args.path within /srv/{i}")
        elif i % 20 == 1 and i % 3 != 0:
            out.append(f"{head}args.path ~ /tmp/{i}/*")
        elif i % 10 == 2:
            out.append(f"{head}tool ~ *secret{i}*")
        elif i % 10 < 6:
            out.append(f"{head}tool = up{i % 100}.t{i % 97} and role = nobody")
        else:
            out.append(f"{head}upstream = up{i % 100} and destructive and team = ops")
    return "\n".join(out)


def guarded(folder):
    """The configuration in which everything is on."""
    path = os.path.join(folder, "bench.policy")
    with open(path, "w") as f:
        f.write(rules())
    return {
        "auth": {"jwt": {"secret": SECRET}, "anonymousLoopback": False},
        "policy": {"file": path, "default": "allow"},
        "catalog": {"pins": "quarantine"},
        "limits": {"rules": [
            {"name": "all", "scope": "global", "rate": "1000000/second", "burst": 1000000},
            {"name": "each", "scope": "principal", "rate": "1000000/second", "burst": 1000000,
             "dailyQuota": 1000000000, "concurrency": 10000},
            {"name": "tools", "scope": "tool", "match": "*", "rate": "1000000/second",
             "burst": 1000000}]},
        "audit": {"mode": "buffered"},
    }


def token(config):
    """A token of our own for the gateway of that configuration."""
    command = [w.binary("meta-mcp"), "token", "create", "--subject", "bench", "--role", "developer",
               "--expires", "60", "--config", config]
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout.decode().strip()


def guards(world):
    http = world.echo_http("web")
    server = {"web": {"type": "http", "url": http.url, "era": "modern"}}
    off = {"audit": {"mode": "off"}, "catalog": {"pins": "off"}, "policy": {"consent": "off"},
           "taint": {"mode": "off"}}
    more = guarded(world.folder)
    config, _ = world.config(server, more)
    key = token(config)
    gateways = {"bare": (world.gateway(server, off), {}),
                "guarded": (world.gateway(server, more), {"key": key})}
    for gateway, how in gateways.values():
        w.wait_for_tools(gateway.url, ["web__echo"], **how)
    rows = []
    for connections in (1, 32, 256):
        runs = {name: [] for name in gateways}
        for _ in range(ROUNDS):
            for name, (gateway, how) in gateways.items():
                runs[name].append(measure.once("modern", connections, "web__echo", url=gateway.url,
                                               pids=gateway.pids, **how))
        row = {"connections": connections}
        for name, each in runs.items():
            row[name] = {key: statistics.median(one[key] for one in each)
                         for key in ("calls_per_s", "p50_us", "p99_us")}
            row[name]["cpu_us"] = statistics.median(report.cpu_of(one) for one in each)
        rows.append(row)
    half = measure.half_rate(gateways, rows[1]["guarded"]["calls_per_s"] / 2, ROUNDS)
    world.end(*(gateway for gateway, _ in gateways.values()), http)
    return {"rows": rows, "half": half}


def render(data):
    rows = []
    for row in data["rows"]:
        bare, on = row["bare"], row["guarded"]
        rows.append([row["connections"], f"{bare['calls_per_s']:,.0f}", f"{on['calls_per_s']:,.0f}",
                     f"{on['calls_per_s'] / bare['calls_per_s']:.2f}", f"{bare['cpu_us']:.1f}",
                     f"{on['cpu_us']:.1f}", f"{on['cpu_us'] - bare['cpu_us']:.1f}"])
    half = data["half"]
    added = half["guarded"]["p99_us"] - half["bare"]["p99_us"]
    return "\n".join([
        "## Guards",
        "",
        f"A token (HS256), {RULES} rules, quarantining pins, three limits and a buffered audit together, "
        "against a gateway without any of them. Measured on " + report.machine() + ".",
        "",
        report.table(["connections", "bare, calls/s", "guarded, calls/s", "ratio",
                      "bare, CPU µs per call", "guarded, CPU µs per call", "added, CPU µs"], rows),
        "",
        f"At {half['rate']:,.0f} calls/s offered (half of what 32 connections reach) the p50 and p99 are "
        f"{half['bare']['p50_us']:.0f} and {half['bare']['p99_us']:.0f} µs bare, "
        f"{half['guarded']['p50_us']:.0f} and {half['guarded']['p99_us']:.0f} µs guarded: "
        f"{added:.0f} µs added at the p99."])
