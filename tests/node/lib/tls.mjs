// Certificates for tests, made with openssl, and requests that show them.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';

function openssl(...args) {
  const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

// An authority in a folder of its own, which remove() takes away.
export class Authority {
  #issued = 0;

  constructor(name = 'Test CA') {
    this.folder = mkdtempSync(join(tmpdir(), 'metamcp-ca-'));
    this.ca = join(this.folder, 'ca.pem');
    this.caKey = join(this.folder, 'ca.key');
    openssl('req', '-x509', ...KEY, '-days', '30', '-subj', `/CN=${name}`,
      '-keyout', this.caKey, '-out', this.ca);
  }

  // A certificate with `names` ("DNS:x,URI:y"). `days` below 0: it has ended.
  issue(cn, names, { days = 30, usage = 'clientAuth,serverAuth' } = {}) {
    const base = join(this.folder, `${(this.#issued += 1)}`);
    const [request, cert, key, extensions] = ['csr', 'pem', 'key', 'ext'].map((e) => `${base}.${e}`);
    openssl('req', '-new', ...KEY, '-subj', `/CN=${cn}`, '-keyout', key, '-out', request);
    writeFileSync(extensions, `subjectAltName=${names}\nextendedKeyUsage=${usage}\n`);
    openssl('x509', '-req', '-in', request, '-CA', this.ca, '-CAkey', this.caKey, '-CAcreateserial',
      '-days', String(days), '-extfile', extensions, '-out', cert);
    return { cert, key };
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// fetch() over TLS with the authority `ca` and, where given, a client certificate (files).
export function tlsFetch({ ca, cert, key, keepAlive = false } = {}) {
  const read = (file) => file && readFileSync(file);
  const agent = new Agent({ ca: read(ca), cert: read(cert), key: read(key), keepAlive });
  const send = (input, init = {}) => {
    const url = new URL(input.url ?? input);
    if (url.protocol === 'http:') return fetch(input, init);
    return new Promise((resolve, reject) => {
      const headers = Object.fromEntries(new Headers(init.headers));
      const { method = 'GET', signal } = init;
      const sent = httpsRequest(url, { method, headers, agent, signal }, (got) => {
        const fields = Object.entries(got.headersDistinct).flatMap(([name, values]) =>
          values.map((value) => [name, value]));
        const empty = [204, 304].includes(got.statusCode) || method === 'HEAD';
        resolve(new Response(empty ? null : Readable.toWeb(got),
          { status: got.statusCode, headers: fields }));
      });
      sent.on('error', reject);
      sent.end(init.body ? String(init.body) : undefined);
    });
  };
  send.close = () => agent.destroy();
  return send;
}
