// Preloaded into the official conformance suite (server role): its requests to METAMCP_PROTECTED log
// in by the official SDK's OAuth flow when they are told to, and carry the token from then on.
import { auth, extractWWWAuthenticateParams } from '@modelcontextprotocol/client';
import { Login, callbackOf } from '../lib/oauth_login.mjs';

const plain = globalThis.fetch;
const protectedUrl = process.env.METAMCP_PROTECTED;
const login = new Login();
let going;

async function logIn(refused) {
  const { resourceMetadataUrl, scope } = extractWWWAuthenticateParams(refused);
  const options = { serverUrl: protectedUrl, resourceMetadataUrl, scope, fetchFn: plain };
  if ((await auth(login, options)) !== 'REDIRECT') throw new Error('no redirect');
  const callback = await callbackOf(login.asked.at(-1));
  const { code, iss } = Object.fromEntries(callback);
  const done = await auth(login, { ...options, authorizationCode: code, iss });
  if (done !== 'AUTHORIZED') throw new Error(`the login ended as ${done}`);
  process.stderr.write('oauth: logged in\n');
}

globalThis.fetch = async (input, init = {}) => {
  const url = String(input.url ?? input);
  if (!url.startsWith(protectedUrl)) return plain(input, init);
  const send = () => {
    const headers = new Headers(init.headers);
    if (login.saved) headers.set('authorization', `Bearer ${login.saved.access_token}`);
    return plain(url, { ...init, headers });
  };
  const response = await send();
  if (response.status !== 401) return response;
  going ??= logIn(response);
  await going;
  return send();
};
