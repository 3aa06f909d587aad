// A login by OAuth as official clients make it, with a browser that approves at once.

// What an editor keeps of one login; its browser approves at once.
export class Login {
  redirectUrl = 'http://127.0.0.1:9/oauth/callback';
  asked = [];
  get clientMetadata() {
    return {
      client_name: 'editor',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
  }
  clientInformation() {
    return this.client;
  }
  saveClientInformation(client) {
    this.client = client;
  }
  tokens() {
    return this.saved;
  }
  saveTokens(tokens) {
    this.saved = tokens;
  }
  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }
  codeVerifier() {
    return this.verifier;
  }
  redirectToAuthorization(url) {
    this.asked.push(url);
  }
}

// Follows the authorization page as a browser would; what it is sent back with.
export async function callbackOf(url) {
  const cookies = new Map();
  let next = url;
  for (let hops = 0; hops < 20; hops += 1) {
    if (next.pathname === '/oauth/callback') return next.searchParams;
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(next, { redirect: 'manual', headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=');
      cookies.set(name, value);
    }
    next = new URL(response.headers.get('location'), next);
  }
  throw new Error('the login never came back');
}
