// Child processes of tests: started once, waited for by what they print, ended by their own pid.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const live = new Set();
const STDERR_CHARS_MAX = 20000;

// A test that dies must not leave children: the last resort, synchronous, by pid.
process.on('exit', () => live.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

export class Child {
  #process;
  #stderr = '';
  #lines = [];
  #waiting = [];
  exit;

  constructor(command, args, { cwd, env } = {}) {
    this.command = [command, ...args].join(' ');
    this.#process = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    live.add(this.#process);
    this.#process.stdin.on('error', () => {});
    this.#process.stderr.on('data', (data) => {
      this.#stderr = (this.#stderr + data).slice(-STDERR_CHARS_MAX);
    });
    createInterface({ input: this.#process.stdout }).on('line', (line) => this.#line(line));
    this.exit = new Promise((resolve) => {
      this.#process.once('error', (error) => resolve({ error }));
      this.#process.once('close', (code, signal) => resolve({ code, signal }));
    }).then((status) => {
      live.delete(this.#process);
      this.ended = status;
      for (const { reject } of this.#waiting.splice(0)) reject(this.#failure('ended'));
      return status;
    });
  }

  get pid() {
    return this.#process.pid;
  }

  get stderr() {
    return this.#stderr;
  }

  get stdout() {
    return this.#lines.join('\n');
  }

  #failure(what) {
    const status = this.ended ? ` (${JSON.stringify(this.ended)})` : '';
    return new Error(
      `${this.command} ${what}${status}\nstdout: ${this.stdout}\nstderr: ${this.#stderr}`,
    );
  }

  #line(line) {
    this.#lines.push(line);
    this.#waiting = this.#waiting.filter(({ match, resolve }) => {
      const found = match(line);
      if (found) resolve(found);
      return !found;
    });
  }

  // Resolves with the first truthy match(line) of stdout, past or future.
  async line(match, timeoutMs = 20000) {
    for (const line of this.#lines) {
      const found = match(line);
      if (found) return found;
    }
    if (this.ended) throw this.#failure('ended');
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.push({ match, resolve, reject });
        timer = setTimeout(() => reject(this.#failure('printed no such line in time')), timeoutMs);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  // Asks it to end, then insists. Resolves when the process is gone.
  async stop(graceMs = 8000) {
    if (!this.ended && this.#process.exitCode === null) {
      this.#process.stdin.end();
      this.#process.kill('SIGTERM');
      const timer = setTimeout(() => this.#process.kill('SIGKILL'), graceMs);
      await this.exit;
      clearTimeout(timer);
    }
    return this.exit;
  }
}

// Runs a command to its end. Resolves with {code, stdout, stderr}; never rejects on a bad code.
export async function run(command, args, { timeoutMs = 120000, ...options } = {}) {
  const child = new Child(command, args, options);
  const timer = setTimeout(() => child.stop(1000), timeoutMs);
  const { code, signal, error } = await child.exit;
  clearTimeout(timer);
  if (error) throw error;
  return { code: code ?? `signal ${signal}`, stdout: child.stdout, stderr: child.stderr };
}
