// The official TypeScript clients against the fixture through the gateway: every transport in
// front, HTTP and stdio behind; client and server of the same era, and over HTTP of both eras.
import { after, before, describe, test } from 'node:test';
import { SCENARIOS } from '../lib/scenarios.mjs';
import { SDKS } from '../lib/sdk.mjs';
import { BACKS, ERAS, FRONTS, direct, named, possible, startWorld } from '../lib/world.mjs';

// Across eras there has to be a gateway.
const paired = (sdk, era, front) => sdk.era === era || (!direct && front.name === '/mcp');

function suite(sdk, front, world) {
  describe(`${sdk.name} through ${front.name} (${front.req})`, () => {
    for (const scenario of SCENARIOS.filter((each) => !each.eras || each.eras.includes(sdk.era))) {
      test(`${scenario.name} (${scenario.req})`, { timeout: 60000 }, async () => {
        const connect = (handlers) => sdk.connect(world().endpoints[front.name], handlers);
        const session = await connect({});
        try {
          await scenario.run({ session, connect, tool: named, prompt: named });
        } finally {
          await session.close();
        }
      });
    }
  });
}

for (const era of ERAS) {
  for (const back of BACKS) {
    describe(`${era} upstream over ${back.name} (${back.req})`, () => {
      let running;
      before(async () => {
        running = await startWorld(back, era);
      });
      after(() => running?.stop());
      for (const sdk of SDKS) {
        const fits = (each) => possible(each, back) && sdk.speaks(each) && paired(sdk, era, each);
        for (const front of FRONTS.filter(fits)) suite(sdk, front, () => running);
      }
    });
  }
}
