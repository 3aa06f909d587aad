// The revisions of MCP, and what each of them has.
export const REVISIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28'];
export const LATEST_LEGACY = '2025-11-25';
export const MODERN = '2026-07-28';

export const isModern = (revision) => revision >= MODERN;

// The revision in which each thing appeared; dates compare as text.
const SINCE = {
  audio: '2025-03-26',
  annotations: '2025-03-26',
  progressMessage: '2025-03-26',
  completionsCapability: '2025-03-26',
  versionHeader: '2025-06-18',
  structured: '2025-06-18',
  resourceLink: '2025-06-18',
  titles: '2025-06-18',
  elicitation: '2025-06-18',
  completionContext: '2025-06-18',
  elicitationUrl: '2025-11-25',
  samplingTools: '2025-11-25',
  icons: '2025-11-25',
  tasks: '2025-11-25',
};

export const has = (revision, thing) => revision >= SINCE[thing];

export const META = {
  version: 'io.modelcontextprotocol/protocolVersion',
  info: 'io.modelcontextprotocol/clientInfo',
  capabilities: 'io.modelcontextprotocol/clientCapabilities',
  logLevel: 'io.modelcontextprotocol/logLevel',
  subscription: 'io.modelcontextprotocol/subscriptionId',
};
export const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks';
