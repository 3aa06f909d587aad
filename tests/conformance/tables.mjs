// The tables: which clients, which servers, which features.
import { FEATURES, TRANSPORT_FEATURES } from './features/index.mjs';
import { REVISIONS } from './lib/revisions.mjs';

const over = (transport, ...revisions) => revisions.map((revision) => ({ revision, transport }));
const onHttp = over('http', ...REVISIONS);

// What speaks over each transport: a revision of each era that it carries, and over HTTP+SSE, which
// the newest does not know, the oldest and the newest of those before.
const TRANSPORT_ENDS = [
  ...over('http', '2025-11-25', '2026-07-28'),
  ...over('sse', '2024-11-05', '2025-11-25'),
  ...over('stdio', '2025-11-25', '2026-07-28'),
  ...over('ws', '2025-11-25', '2026-07-28'),
];

export const TABLES = {
  revisions: { clients: onHttp, servers: onHttp, features: FEATURES },
  transports: { clients: TRANSPORT_ENDS, servers: TRANSPORT_ENDS, features: TRANSPORT_FEATURES },
  // Each revision with itself, and the borders that matter most.
  crossings: {
    clients: onHttp,
    servers: onHttp,
    features: FEATURES,
    pairs: (client, server) =>
      client.revision === server.revision ||
      [client, server].some(({ revision }) => revision === '2026-07-28') ||
      (client.revision === '2024-11-05' && server.revision === '2025-11-25'),
  },
};
export const PUBLISHED = ['revisions', 'transports'];
