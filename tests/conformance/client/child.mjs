// A child process that speaks in lines. It is ended by its own pid, also when the runner dies.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const live = new Set();
process.on('exit', () => live.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

export class Child {
  stderr = '';

  constructor(command, args, { env, cwd } = {}) {
    this.command = [command, ...args].join(' ');
    this.process = spawn(command, args, { cwd, env: { ...process.env, ...env } });
    live.add(this.process);
    this.process.stdin.on('error', () => {});
    this.process.stderr.on('data', (data) => {
      this.stderr = (this.stderr + data).slice(-20000);
    });
    this.lines = createInterface({ input: this.process.stdout });
    this.lines.on('error', () => {});
    this.exit = new Promise((resolve) => {
      this.process.once('error', (error) => resolve({ error }));
      this.process.once('close', (code, signal) => resolve({ code, signal }));
    }).then((status) => {
      live.delete(this.process);
      this.ended = status;
      return status;
    });
  }

  get pid() {
    return this.process.pid;
  }

  onLine(callback) {
    this.lines.on('line', callback);
  }

  write(text) {
    this.process.stdin.write(text);
  }

  // Closes its input, asks it to end, then insists. Resolves when it is gone.
  async stop(graceMs = 10000) {
    if (!this.ended) {
      this.process.stdin.end();
      this.process.kill('SIGTERM');
      const timer = setTimeout(() => this.process.kill('SIGKILL'), graceMs);
      await this.exit;
      clearTimeout(timer);
    }
    return this.exit;
  }
}
