// What a user and a browser do when an upstream wants a login: open the gateway's page, press its
// button, be sent to the authorization server and back.

const unescape = (text) =>
  text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&');

// Opens `link` (a page of the gateway) and resolves with {url, cookie}: where the browser is sent,
// and the cookie that it keeps. `key` is typed in where the page asks for one.
export async function openLoginPage(link, { key } = {}) {
  const page = await (await fetch(link)).text();
  const ticket = page.match(/name="t" value="([^"]+)"/)?.[1];
  if (!ticket) throw new Error(`no form on the login page:\n${page}`);
  const form = new URLSearchParams({ t: unescape(ticket), ...(key ? { key } : {}) });
  const origin = new URL(link).origin;
  const left = await fetch(new URL('/oauth/login', link), {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin },
    body: form,
  });
  const text = await left.text();
  if (left.status !== 200) return { status: left.status, text };
  const url = unescape(text.match(/href="([^"]+)"/)[1]);
  return { url, cookie: left.headers.get('set-cookie').split(';')[0] };
}

// Cookies by origin and path prefix, as far as logins need them.
class CookieJar {
  #cookies = [];

  take(url, response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(/;\s*/);
      const name = pair.slice(0, pair.indexOf('='));
      const path = attributes.find((each) => /^path=/i.test(each))?.slice(5) ?? '/';
      const { origin } = new URL(url);
      this.#cookies = this.#cookies.filter(
        (each) => each.origin !== origin || each.name !== name || each.path !== path,
      );
      this.#cookies.push({ origin, name, path, pair });
    }
  }

  header(url) {
    const { origin, pathname } = new URL(url);
    const fitting = this.#cookies.filter(
      (each) => each.origin === origin && pathname.startsWith(each.path),
    );
    return fitting.length > 0 ? { cookie: fitting.map(({ pair }) => pair).join('; ') } : {};
  }
}

// Follows `url` to the gateway's callback, which gets `cookie`. An authorization server that
// approves at once redirects all the way. Resolves with {status, text} of the last answer.
export async function followLogin(url, cookie) {
  const jar = new CookieJar();
  let next = url;
  for (let hops = 0; hops < 20; hops += 1) {
    const back = new URL(next).pathname === '/oauth/callback';
    const response = await fetch(next, {
      redirect: 'manual',
      headers: back ? { cookie } : jar.header(next),
    });
    jar.take(next, response);
    const location = response.headers.get('location');
    if (back || !location) return { status: response.status, text: await response.text() };
    next = new URL(location, next).href;
  }
  throw new Error(`the login at ${url} goes round in circles`);
}

// Logs in to a server of the gateway as its operator does. Resolves with whether it worked.
export async function logIn(gateway, name) {
  const made = await fetch(`${gateway.adminUrl}/servers/${name}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  const { url: link } = await made.json();
  const { url, cookie, status, text } = await openLoginPage(link);
  const result = url ? await followLogin(url, cookie) : { status, text };
  if (result.status !== 200) console.error(result.status, result.text);
  return result.status === 200 && /Logged in/.test(result.text);
}
