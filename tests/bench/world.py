"""Starts what is measured: gateways in one process or three, and their upstreams."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import uuid

BIN = os.environ.get("METAMCP_BENCH_BIN", "build/release/bin")


def binary(name):
    return os.path.abspath(os.path.join(BIN, name))


class Program:
    """A child of ours that says one line when it is ready."""

    def __init__(self, command, log, env=None):
        self.log = open(log, "ab")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=env
        )
        self.pid = self.process.pid
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        self.line = self.process.stdout.readline().decode() if ready else ""
        if not self.line:
            self.stop()
            raise RuntimeError(f"{command[0]} did not start: {open(log).read()[-2000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()


def rss_kib(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


def cpu_us(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1000


def waited_us(pid):
    """How long the process's threads were ready to run and had no core."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[1])
    return total / 1000


def free_address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"


def stdio_server(name, era="auto", tools=0):
    args = ["--stdio", "--name", name, "--tools", str(tools)]
    return {"command": binary("metamcp-fixture-echo"), "args": args, "era": era}


class World:
    """A temporary folder and everything that was started in it; ends all of it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="metamcp-bench.")
        self.programs = []
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.programs):
            program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, command, env=None):
        self.count += 1
        program = Program(command, os.path.join(self.folder, f"{self.count}.log"), env)
        self.programs.append(program)
        return program

    def end(self, *programs):
        for program in programs:
            program.stop()
            self.programs.remove(program)

    def echo_http(self, name):
        program = self.start([binary("metamcp-fixture-echo"), "--port", "0", "--name", name])
        program.url = json.loads(program.line)["url"]
        return program

    def relay(self, to, work_us):
        """A copier of TCP in front of the echo server `to`, as busy per piece as asked."""
        port = urllib.parse.urlsplit(to.url).port
        program = self.start([binary("metamcp-relay"), "--to", str(port), "--work", str(work_us)])
        program.url = to.url.replace(f":{port}/", f":{program.line.split('=')[1].strip()}/")
        return program

    def config(self, servers, more=None):
        self.count += 1
        path = os.path.join(self.folder, f"config{self.count}.json")
        with open(path, "w") as f:
            json.dump({"version": 1, "mcpServers": servers, **(more or {})}, f)
        return path, os.path.join(self.folder, f"data{self.count}")

    def gateway(self, servers, more=None):
        """One process. The result knows .url, .base and the pids to watch."""
        config, data = self.config(servers, more)
        program = self.start(
            [binary("meta-mcp"), "serve", "--config", config, "--data-dir", data,
             "--listen", "127.0.0.1:0"]
        )
        return self.addresses(program, {"gateway": program.pid})

    def cluster(self, servers):
        """Three processes over gRPC."""
        config, data = self.config(servers)
        catalog, connector = free_address(), free_address()
        common = ["--config", config, "--data-dir"]
        first = self.start(
            [binary("meta-mcp-catalog"), *common, data + "a", "--listen", catalog]
        )
        second = self.start(
            [binary("meta-mcp-connector"), *common, data + "b", "--listen", connector,
             "--catalog", catalog]
        )
        program = self.start(
            [binary("meta-mcp-gateway"), *common, data + "c", "--listen", "127.0.0.1:0",
             "--catalog", catalog, "--connector", connector]
        )
        pids = {"gateway": program.pid, "connector": second.pid, "catalog": first.pid}
        program = self.addresses(program, pids)
        program.others = [second, first]
        return program

    def replicas(self, servers, count):
        """A catalog, and `count` connectors and gateways that find each other through it. The result
        knows .urls, and .pids by service and number."""
        config, data = self.config(servers)
        catalog = free_address()
        keys = {**os.environ, "META_MCP_SERVICES_KEYS_FILE": data + ".keys"}

        def serve(role, number, *more):
            return self.start(
                [binary("meta-mcp"), "serve", "--services", role, "--config", config,
                 "--data-dir", f"{data}-{role}{number}", *more],
                {**keys, "META_MCP_SERVICES_CATALOG_ADDRESS": catalog,
                 "META_MCP_SERVICES_LISTEN": catalog if role == "catalog" else free_address()})

        first = serve("catalog", 0)
        connectors = [serve("connector", i) for i in range(count)]
        gateways = [serve("gateway", i, "--listen", "127.0.0.1:0") for i in range(count)]
        pids = {"catalog": first.pid}
        pids.update({f"connector-{i}": each.pid for i, each in enumerate(connectors)})
        pids.update({f"gateway-{i}": each.pid for i, each in enumerate(gateways)})
        for each in gateways:
            self.addresses(each, pids)
        gateways[0].urls = [each.url for each in gateways]
        gateways[0].others = [*gateways[1:], *connectors, first]
        return gateways[0]

    def database(self, server):
        """The URL of a new database at a PostgreSQL server."""
        name = f"bench_{uuid.uuid4().hex}"
        subprocess.run(["psql", server, "-qc", f"CREATE DATABASE {name}"], check=True)
        return urllib.parse.urlsplit(server)._replace(path="/" + name).geturl()

    @staticmethod
    def addresses(program, pids):
        words = dict(word.split("=", 1) for word in program.line.split() if "=" in word)
        program.url = words["mcp"]
        program.base = program.url.rsplit("/mcp", 1)[0]
        program.pids = pids
        program.others = []
        return program


def load(*arguments, url=None, stdio=None, pids=None, stdin=None, key=None):
    """Runs the load generator; its JSON. Raises when an answer was wrong."""
    command = [binary("metamcp-load"), *[str(a) for a in arguments]]
    for name, pid in (pids or {}).items():
        command += ["--pid", f"{name}={pid}"]
    if key:
        command += ["--key", key]
    command += ["--url", url] if url else ["--stdio", *stdio]
    done = subprocess.run(command, capture_output=True, timeout=120, stdin=stdin)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout.decode()}{done.stderr.decode()}")
    return json.loads(done.stdout)


def wait_for_tools(url, names, limit=60, key=None):
    """Seconds until every name works in a call."""
    begun = time.monotonic()
    missing = list(names)
    while missing:
        done = subprocess.run(
            [binary("metamcp-load"), *(["--key", key] if key else []), "--url", url, "--calls", "1",
             "--tool", missing[-1]], capture_output=True, timeout=60)
        if done.returncode == 0:
            missing.pop()
        elif time.monotonic() - begun > limit:
            raise RuntimeError(f"{missing[-1]} did not come: {done.stderr.decode()}")
        else:
            time.sleep(0.02)
    return time.monotonic() - begun
