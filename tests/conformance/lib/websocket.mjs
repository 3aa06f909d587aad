// The server's half of WebSocket (RFC 6455), as little as MCP over it needs: text messages, ping,
// close, subprotocol "mcp". Clients use the one of Node.
import { createHash } from 'node:crypto';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

function frame(opcode, payload) {
  const { length } = payload;
  let head;
  if (length < 126) head = Buffer.from([0x80 | opcode, length]);
  else if (length < 65536) {
    head = Buffer.from([0x80 | opcode, 126, 0, 0]);
    head.writeUInt16BE(length, 2);
  } else {
    head = Buffer.alloc(10);
    head[0] = 0x80 | opcode;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, payload]);
}

// Reads one frame off `buffer`; undefined if it is not there yet.
function parse(buffer) {
  if (buffer.length < 2) return undefined;
  let length = buffer[1] & 0x7f;
  let at = 2;
  if (length === 126) {
    if (buffer.length < 4) return undefined;
    length = buffer.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (buffer.length < 10) return undefined;
    length = Number(buffer.readBigUInt64BE(2));
    at = 10;
  }
  const masked = (buffer[1] & 0x80) !== 0;
  if (length > MESSAGE_BYTES_MAX || !masked) return { broken: true };
  if (buffer.length < at + 4 + length) return undefined;
  const mask = buffer.subarray(at, at + 4);
  const payload = Buffer.from(buffer.subarray(at + 4, at + 4 + length));
  for (let i = 0; i < length; i += 1) payload[i] ^= mask[i & 3];
  return {
    fin: (buffer[0] & 0x80) !== 0,
    opcode: buffer[0] & 0x0f,
    payload,
    used: at + 4 + length
  };
}

// Accepts an upgrade. Returns {send(text), close(), protocol}; `on` has message(text) and closed().
export function acceptWebSocket(req, socket, on) {
  const accept =
    createHash('sha1').update(req.headers['sec-websocket-key'] + GUID).digest('base64');
  const offered =
    (req.headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
  const protocol = offered.includes('mcp') ? 'mcp' : undefined;
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\n` +
      (protocol ? `Sec-WebSocket-Protocol: ${protocol}\r\n\r\n` : '\r\n'),
  );
  socket.setNoDelay(true);
  let buffer = Buffer.alloc(0);
  let parts = [];
  const take = ({ fin, opcode, payload, broken }) => {
    if (broken) return socket.destroy();
    if (opcode === CLOSE) return socket.end(frame(CLOSE, payload.subarray(0, 2)));
    if (opcode === PING) return socket.write(frame(PONG, payload));
    if (opcode === PONG) return undefined;
    parts.push(payload);
    if (!fin) return undefined;
    const text = Buffer.concat(parts).toString('utf8');
    parts = [];
    return on.message(text);
  };
  socket.on('data', (data) => {
    buffer = Buffer.concat([buffer, data]);
    for (let next = parse(buffer); next; next = parse(buffer)) {
      buffer = buffer.subarray(next.used ?? buffer.length);
      take(next);
    }
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => on.closed());
  return {
    protocol,
    send: (text) => socket.writable && socket.write(frame(TEXT, Buffer.from(text))),
    close: () => socket.end(frame(CLOSE, Buffer.from([3, 232]))),
  };
}
