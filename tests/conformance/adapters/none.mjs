// No gateway: each client is connected to the upstream itself. It shows what the kit alone does;
// only pairs of one revision and one transport are possible.
export const name = 'no gateway';
export const direct = true;

export async function start({ upstreams }) {
  const byName = new Map(upstreams.map((each) => [each.name, each]));
  return {
    direct,
    endpoint: (_transport, server) => byName.get(server),
    toolName: (_server, tool) => tool,
    promptName: (_server, prompt) => prompt,
    stop: async () => {},
  };
}
