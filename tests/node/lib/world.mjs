// The fixture behind a gateway (or alone), with the endpoint of each front.
// METAMCP_TARGET=fixture leaves the gateway out, which shows whether a failure is the fixture's.
import { fixtureStdio, startFixture, startGateway, waitForItems, waitForTools } from './servers.mjs';

export const direct = process.env.METAMCP_TARGET === 'fixture';
export const ERAS = ['legacy', 'modern'];
export const MAIN_FRONTS = [
  { name: '/mcp', req: 'P1-Transports-5' },
  { name: 'stdio', req: 'P1-Transports-4' },
];
export const FRONTS = [
  ...MAIN_FRONTS,
  { name: '/sse', req: 'P1-Transports-3' },
  { name: '/ws', req: 'P1-Transports-2' },
  { name: 'stdio by /ws', req: 'P1-Transports-4' },
];
export const BACKS = [
  { name: 'HTTP', req: 'M-AC-5.2.2' },
  { name: 'stdio', req: 'M-AC-5.2.1' },
];

// Without the gateway the front is the back.
export function possible(front, back) {
  if (!direct) return true;
  return front.name === (back.name === 'HTTP' ? '/mcp' : 'stdio');
}

export const prefix = direct ? '' : 'fixture__';
export const named = (name) => `${prefix}${name}`;

// Resolves with {endpoints, stop}; an endpoint is {url}, {sse}, {ws} or {command, args}.
export async function startWorld(back, era) {
  const stops = [];
  const stop = async () => {
    for (const each of stops.reverse()) await each();
  };
  try {
    const fixture = back.name === 'HTTP' ? await startFixture('--era', era) : undefined;
    if (fixture) stops.push(fixture.stop);
    const stdio = fixtureStdio('--era', era);
    if (direct) return { endpoints: { '/mcp': fixture && { url: fixture.url }, stdio }, stop };
    const upstream = fixture ? { type: 'http', url: fixture.url } : stdio;
    const gateway = await startGateway({ mcpServers: { fixture: { ...upstream, era } } });
    stops.push(gateway.stop);
    await waitForTools(gateway.mcpUrl, [named('test_simple_text')]);
    await waitForItems(gateway.mcpUrl, 'resources/list', ['test://static-text']);
    await waitForItems(gateway.mcpUrl, 'resources/templates/list', ['test://template/{id}/data']);
    await waitForItems(gateway.mcpUrl, 'prompts/list', [named('test_prompt_with_arguments')]);
    const bridge = (url) => ({ command: gateway.binary, args: ['stdio', '--url', url] });
    const ws = gateway.at('/ws').replace(/^http/, 'ws');
    const endpoints = {
      '/mcp': { url: gateway.mcpUrl },
      stdio: bridge(gateway.mcpUrl),
      '/sse': { sse: gateway.at('/sse') },
      '/ws': { ws },
      'stdio by /ws': bridge(ws),
    };
    return { endpoints, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
