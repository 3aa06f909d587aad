// usage: node stdio_relay.mjs PORT NAME
// The child process behind a stdio upstream: its standard input and output are carried to the
// scripted server NAME, which lives with the runner and sees each line as it was written.
import { connect } from 'node:net';

const [port, name] = process.argv.slice(2);
const socket = connect(Number(port), '127.0.0.1', () => {
  socket.write(`${name}\n`);
  process.stdin.pipe(socket);
  socket.pipe(process.stdout);
});
socket.on('error', () => process.exit(1));
socket.on('close', () => process.exit(0));
