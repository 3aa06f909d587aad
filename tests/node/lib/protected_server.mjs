// An OAuth-protected MCP server as people run them: oidc-provider is the authorization server, the
// official SDK's bearer middleware guards a server of the official SDK. In one process, on loopback.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import { z } from 'zod';
import { freePort } from './cluster.mjs';

const SCOPE = 'mcp:tools';

async function listen(handler, port) {
  const server = createServer(handler);
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
}

async function newKey() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, use: 'sig', alg: 'RS256', kid: Math.random().toString(36).slice(2) };
}

// A store for one authorization server that outlives its restarts, in the form that oidc-provider
// wants: records by kind and id, and which of them belong to one grant.
function makeAdapter(records) {
  return class {
    constructor(kind) {
      this.kind = kind;
    }
    async upsert(id, payload, expiresIn) {
      const until = expiresIn ? Date.now() + expiresIn * 1000 : Infinity;
      records.set(`${this.kind}:${id}`, { payload, until });
    }
    async find(id) {
      const record = records.get(`${this.kind}:${id}`);
      return record && record.until > Date.now() ? record.payload : undefined;
    }
    async findByUid(uid) {
      return [...records]
        .filter(([key]) => key.startsWith(`${this.kind}:`))
        .map(([, { payload }]) => payload)
        .find((payload) => payload.uid === uid);
    }
    async consume(id) {
      records.get(`${this.kind}:${id}`).payload.consumed = Math.floor(Date.now() / 1000);
    }
    async destroy(id) {
      records.delete(`${this.kind}:${id}`);
    }
    async revokeByGrantId(grantId) {
      for (const [key, { payload }] of records) {
        if (payload.grantId === grantId) records.delete(key);
      }
    }
  };
}

// Approves every login and consent at once, as a user would who presses the buttons.
function approve(provider) {
  return async (ctx, next) => {
    if (!ctx.path.startsWith('/interaction/')) return next();
    const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
    if (prompt.name === 'login') {
      const result = { login: { accountId: 'somebody' } };
      return provider.interactionFinished(ctx.req, ctx.res, result);
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
      grant.addResourceScope(resource, scopes.join(' '));
    }
    if (prompt.details.missingOIDCScope) {
      grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
    }
    const result = { consent: { grantId: await grant.save() } };
    return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
  };
}

// An authorization server whose lifetimes, in seconds, can be changed while it runs. `grants` holds
// the grant types that its token endpoint served, in order; `registrations` counts clients.
export class AuthServer {
  lifetimes = { access: 300, refresh: 3600 };
  format = 'opaque';
  scopes = ['openid', 'offline_access'];
  grants = [];
  registrations = 0;
  records = new Map();
  requests = 0;

  async start() {
    this.port ??= await freePort();
    this.issuer = `http://127.0.0.1:${this.port}`;
    this.keys ??= [await newKey()];
    const provider = new Provider(this.issuer, {
      adapter: makeAdapter(this.records),
      jwks: { keys: this.keys },
      cookies: { keys: ['not a secret'] },
      scopes: this.scopes,
      pkce: { required: () => true },
      rotateRefreshToken: true,
      issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
      interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
      findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      ttl: {
        AccessToken: () => this.lifetimes.access,
        RefreshToken: () => this.lifetimes.refresh,
        Grant: 3600,
        Session: 3600,
        Interaction: 600,
      },
      features: {
        devInteractions: { enabled: false },
        registration: { enabled: true },
        revocation: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => undefined,
          getResourceServerInfo: (ctx, resource) => ({
            scope: SCOPE,
            audience: resource,
            accessTokenTTL: this.lifetimes.access,
            accessTokenFormat: this.format,
            jwt: { sign: { alg: 'RS256' } },
          }),
        },
      },
    });
    provider.on('grant.success', (ctx) => this.grants.push(ctx.oidc.params.grant_type));
    provider.on('registration_create.success', () => (this.registrations += 1));
    provider.use(approve(provider));
    provider.use(async (ctx, next) => {
      this.requests += 1;
      await next();
    });
    this.provider = provider;
    this.stop = await listen(provider.callback(), this.port);
  }

  // The same server with new signing keys; what was issued stays in its store.
  async rotateKeys() {
    await this.stop();
    this.keys = [await newKey()];
    await this.start();
  }

  async verify(token, resource) {
    if (this.format === 'jwt') {
      const keys = createRemoteJWKSet(new URL(`${this.issuer}/jwks`));
      const { payload } = await jwtVerify(token, keys, { issuer: this.issuer, audience: resource });
      return { clientId: payload.client_id, scopes: payload.scope.split(' '), expiresAt: payload.exp };
    }
    const found = await this.provider.AccessToken.find(token);
    if (!found?.isValid || found.aud !== resource) throw new Error('no such token');
    return { clientId: found.clientId, scopes: found.scope.split(' '), expiresAt: found.exp };
  }

  // What an administrator does who ends a user's session everywhere.
  async revokeAll(token) {
    const found = await this.provider.AccessToken.find(token);
    await this.provider.AccessToken.revokeByGrantId(found.grantId);
    await this.provider.RefreshToken.revokeByGrantId(found.grantId);
  }
}

function makeMcp() {
  const server = new McpServer({ name: 'protected', version: '1.0.0' });
  server.registerTool(
    'whoami',
    { description: 'Says which token came', inputSchema: { n: z.number().optional() } },
    ({ n }, { authInfo }) => ({
      content: [{ type: 'text', text: JSON.stringify({ n, token: authInfo.token }) }],
    }),
  );
  return server;
}

// An MCP server that takes tokens of `server.issuerOf()` only; that may change while it runs.
export class ProtectedServer {
  seen = [];

  constructor(auth) {
    this.auth = auth;
  }

  async start() {
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}/mcp`;
    const metadata = '/.well-known/oauth-protected-resource/mcp';
    const app = express();
    app.use(express.json());
    app.get(metadata, (request, response) => {
      response.json({
        resource: this.url,
        authorization_servers: [this.auth.issuer],
        scopes_supported: [SCOPE],
      });
    });
    const verifier = {
      verifyAccessToken: async (token) => {
        try {
          return { token, ...(await this.auth.verify(token, this.url)) };
        } catch (error) {
          throw new InvalidTokenError(error.message);
        }
      },
    };
    const guard = requireBearerAuth({
      verifier,
      requiredScopes: [SCOPE],
      resourceMetadataUrl: new URL(metadata, this.url).href,
    });
    app.all('/mcp', guard, async (request, response) => {
      this.seen.push(request.auth.token);
      const server = makeMcp();
      const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
      response.on('close', () => server.close());
      await server.connect(transport);
      await transport.handleRequest(request, response, request.body);
    });
    this.stop = await listen(app, port);
  }
}
