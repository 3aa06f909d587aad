// Preloaded with `node --require` before a server that would listen on every interface: a listen
// call that names no host, or a wildcard, is held to 127.0.0.1.
'use strict';
const net = require('node:net');

const LOOPBACK = '127.0.0.1';
const WILDCARDS = new Set(['', '::', '0.0.0.0', '*']);
const open = (host) => host === undefined || host === null || WILDCARDS.has(host);
const original = net.Server.prototype.listen;

net.Server.prototype.listen = function listen(...args) {
  const [first] = args;
  if (first !== null && typeof first === 'object' && 'port' in first) {
    args[0] = open(first.host) ? { ...first, host: LOOPBACK } : first;
  } else if (typeof first === 'number' || (typeof first === 'string' && /^\d+$/.test(first))) {
    if (typeof args[1] !== 'string') args.splice(1, 0, LOOPBACK);
    else if (open(args[1])) args[1] = LOOPBACK;
  }
  return original.apply(this, args);
};
