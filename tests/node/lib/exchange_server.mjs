// An authorization server with RFC 8693 token exchange and client credentials, which also makes
// users' own tokens. On loopback.
import express from 'express';
import { SignJWT, createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import { createServer } from 'node:http';
import { freePort } from './cluster.mjs';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

export class ExchangeServer {
  // Requests to the token endpoint, newest last.
  asked = [];
  refused = new Set(); // subjects
  lifetime = 300;
  delayMs = 0;
  client = { id: 'gw', secret: 'a-secret-of-the-gateway' };

  async start() {
    const port = await freePort();
    this.issuer = `http://127.0.0.1:${port}`;
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    this.key = privateKey;
    this.jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }] };
    const app = express();
    app.use(express.urlencoded({ extended: false }));
    app.get('/.well-known/oauth-authorization-server', (request, response) =>
      response.json({
        issuer: this.issuer,
        authorization_endpoint: `${this.issuer}/authorize`,
        token_endpoint: `${this.issuer}/token`,
        jwks_uri: `${this.issuer}/jwks`,
        response_types_supported: ['code'],
        grant_types_supported: [EXCHANGE, 'client_credentials'],
        token_endpoint_auth_methods_supported: ['client_secret_basic'],
        code_challenge_methods_supported: ['S256'],
      }));
    app.get('/jwks', (request, response) => response.json(this.jwks));
    app.post('/token', async (request, response) => {
      this.asked.push(request.body);
      await new Promise((resolve) => setTimeout(resolve, this.delayMs));
      try {
        response.json(await this.#token(request));
      } catch (error) {
        response.status(400).json({ error: error.message });
      }
    });
    this.server = createServer(app);
    await new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve));
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #token({ headers, body }) {
    const shown = Buffer.from((headers.authorization ?? '').slice(6), 'base64').toString();
    if (shown !== `${this.client.id}:${this.client.secret}`) throw new Error('invalid_client');
    let subject = this.client.id;
    if (body.grant_type === EXCHANGE) {
      if (body.subject_token_type !== ACCESS_TOKEN) throw new Error('invalid_request');
      const { payload } = await jwtVerify(body.subject_token, createLocalJWKSet(this.jwks), { issuer: this.issuer })
        .catch(() => { throw new Error('invalid_grant'); });
      if (this.refused.has(payload.sub)) throw new Error('invalid_grant');
      subject = payload.sub;
    } else if (body.grant_type !== 'client_credentials') {
      throw new Error('unsupported_grant_type');
    }
    const audience = body.audience ?? body.resource;
    return {
      access_token: await this.sign(subject, audience, 'mcp:tools', this.lifetime),
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: this.lifetime,
    };
  }

  sign(subject, audience, scope, seconds = 300) {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ scope, client_id: this.client.id, jti: Math.random().toString(36) })
      .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
      .setIssuer(this.issuer).setSubject(subject).setAudience(audience)
      .setIssuedAt(now).setExpirationTime(now + seconds)
      .sign(this.key);
  }

  // For ProtectedServer.
  async verify(token, resource) {
    const { payload } = await jwtVerify(token, createLocalJWKSet(this.jwks), { issuer: this.issuer, audience: resource });
    return { clientId: payload.client_id, scopes: payload.scope.split(' '), expiresAt: payload.exp };
  }
}
