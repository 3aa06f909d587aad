// The processes of a cluster, each started, killed, frozen and ended by name, with a link of our own
// in front of every address that processes reach each other at. Needs scripts/with_postgres.
import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { makeCertificates, planCluster } from '../lib/cluster.mjs';
import { gatewayBinary } from '../lib/paths.mjs';
import { run } from '../lib/process.mjs';
import { Link } from './link.mjs';

const READY_MS = 30000;
const END_MS = 40000;

const live = new Set();
process.on('exit', () => live.forEach((child) => child.kill('SIGKILL')));

class Member {
  starts = 0;
  up = false;
  frozen = false;

  constructor(plan, fleet) {
    Object.assign(this, plan);
    this.fleet = fleet;
  }

  get pid() {
    return this.child?.pid;
  }

  get url() {
    return `http://${this.http}/mcp`;
  }

  // Resolves when it is ready.
  async start(binary = this.fleet.binary) {
    const { directory, config, log } = this.fleet;
    this.starts += 1;
    const child = spawn(
      binary,
      [...this.args, '--config', config, '--data-dir', join(directory, this.name)],
      { env: { ...process.env, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    live.add(child);
    this.child = child;
    createInterface({ input: child.stderr }).on('line', (line) => log.write(`${this.name} ${line}\n`));
    this.ended = new Promise((done) => {
      child.once('close', (code, signal) => {
        live.delete(child);
        if (this.child === child) this.up = false;
        done(signal ?? code);
      });
    });
    const ready = new Promise((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith('ready ')) resolve(true);
      });
    });
    const late = new Promise((resolve) => setTimeout(resolve, READY_MS, false).unref());
    const outcome = await Promise.race([ready, late, this.ended]);
    if (outcome !== true) throw new Error(`${this.name} did not start (${outcome})`);
    this.up = true;
  }

  async kill() {
    this.up = false;
    this.child.kill('SIGKILL');
    await this.ended;
  }

  // SIGTERM; resolves with the exit code when it has gone.
  async end() {
    this.up = false;
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), END_MS);
    const code = await this.ended;
    clearTimeout(timer);
    return code;
  }

  freeze() {
    this.frozen = true;
    this.child.kill('SIGSTOP');
  }

  thaw() {
    this.frozen = false;
    this.child.kill('SIGCONT');
  }

  // Command lines of its children.
  children() {
    const out = [];
    try {
      for (const task of readdirSync(`/proc/${this.pid}/task`)) {
        const list = readFileSync(`/proc/${this.pid}/task/${task}/children`, 'utf8');
        for (const pid of list.split(' ').filter(Boolean)) {
          out.push(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'));
        }
      }
    } catch {
      // It, or one of them, has just ended.
    }
    return out;
  }
}

export class Fleet {
  // `config`: of all processes. `links`: own proxies between all of them and before PostgreSQL.
  static async create({ shape, config = {}, links = false, env = {}, gatewayEnv = {} }) {
    const fleet = new Fleet();
    fleet.binary = gatewayBinary();
    const server = process.env.METAMCP_TEST_POSTGRES_URL;
    if (!fleet.binary || !server) throw new Error('needs a build and scripts/with_postgres');
    fleet.directory = await mkdtemp(join(tmpdir(), 'metamcp-fleet-'));
    fleet.config = join(fleet.directory, 'config.json');
    fleet.log = createWriteStream(join(fleet.directory, 'log'));
    await fleet.configure(config);
    fleet.links = new Map();
    const name = `fleet_${process.pid}_${Fleet.#count++}`;
    await fleet.sql(server, `CREATE DATABASE ${name}`);
    fleet.drop = () => fleet.sql(server, `DROP DATABASE ${name} WITH (FORCE)`);
    const url = new URL(server);
    url.pathname = `/${name}`;
    fleet.directUrl = url.href;
    if (links) {
      const link = await Link.open(url.host);
      fleet.links.set('postgres', link);
      url.host = link.address;
    }
    const certificates = await makeCertificates(fleet.binary, join(fleet.directory, 'certs'));
    const plan = await planCluster({
      shape,
      databaseUrl: url.href,
      directory: fleet.directory,
      certificates,
    });
    fleet.members = new Map();
    for (const one of plan) {
      Object.assign(one.env, env, one.role === 'gateway' ? gatewayEnv : {});
      fleet.members.set(one.name, new Member(one, fleet));
    }
    if (links) await fleet.#addLinks();
    return fleet;
  }
  static #count = 0;

  async configure(config) {
    await writeFile(this.config, JSON.stringify({ version: 1, ...config }), { mode: 0o600 });
  }

  async #addLinks() {
    const catalogs = [];
    for (const member of this.members.values()) {
      const link = await Link.open(member.listen);
      this.links.set(member.name, link);
      member.env.META_MCP_SERVICES_ADVERTISE = link.address;
      if (member.role === 'catalog') catalogs.push(link.address);
    }
    for (const member of this.members.values()) {
      if (member.role === 'catalog') continue;
      member.env.META_MCP_SERVICES_CATALOG_ADDRESS = catalogs.join(',');
    }
  }

  of(role) {
    return [...this.members.values()].filter((member) => member.role === role);
  }

  async startAll() {
    for (const role of ['catalog', 'connector', 'gateway']) {
      await Promise.all(this.of(role).map((member) => member.start()));
    }
  }

  // The connectors that have a child with `word` in its command line.
  runnersOf(word) {
    return this.of('connector').filter(
      (member) => member.up && member.children().some((words) => words.includes(word)),
    );
  }

  async sql(url, command) {
    const { code, stdout, stderr } = await run('psql', [url, '-qAtc', command]);
    if (code !== 0) throw new Error(`${command}: ${stderr}`);
    return stdout;
  }

  // What the tests' PostgreSQL server is told: start, stop (at once, as a crash), restart, readonly or
  // writable.
  async postgres(what) {
    const control = process.env.METAMCP_TEST_POSTGRES_CONTROL;
    const { code, stderr } = await run(control, [what]);
    if (code !== 0) throw new Error(`postgres ${what}: ${stderr}`);
  }

  logText() {
    return readFileSync(join(this.directory, 'log'), 'utf8');
  }

  async stop({ keep = false } = {}) {
    for (const link of this.links.values()) link.set('pass');
    for (const role of ['gateway', 'connector', 'catalog']) {
      await Promise.all(
        this.of(role).map(async (member) => {
          if (!member.child || member.child.exitCode !== null) return;
          if (member.frozen) member.thaw();
          await member.end();
        }),
      );
    }
    for (const link of this.links.values()) await link.close();
    await this.drop().catch(() => {});
    await new Promise((done) => this.log.end(done));
    if (!keep) await rm(this.directory, { recursive: true, force: true });
  }
}
