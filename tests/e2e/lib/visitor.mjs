// A browser without a screen: a cookie jar, redirects, and forms that are
// submitted the way HTML says. Speaks HTTP/1.1 or HTTP/2 to Doorward.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { PASSWORD } from './provider.mjs';

export const NAVIGATE = { accept: 'text/html,*/*;q=0.8', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'none' };
export const FETCH = { accept: 'application/json', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', 'sec-fetch-site': 'same-origin' };

export class Visitor {
  // `refuses(name, host)`: cookies that this browser will not keep; `shows`: the
  // certificate that it shows to whoever asks, as `{ cert, key }` of PEM files.
  constructor(world, { h2 = false, refuses = () => false, shows } = {}) {
    this.world = world;
    this.h2 = h2;
    this.refuses = refuses;
    this.shown = shows ? { cert: readFileSync(shows.cert), key: readFileSync(shows.key) } : {};
    this.jar = new Map(); // host → Map(name → value)
    this.agent = new https.Agent({ keepAlive: true, maxSockets: 64 });
    this.sessions = new Map(); // host → h2 session
  }

  close() {
    this.agent.destroy();
    for (const session of this.sessions.values()) session.destroy();
  }

  // One request, no redirects.
  send(url, options) {
    return this.sendTo(new URL(url), options);
  }

  // The same to the parts of a URL: a `pathname` that URL would tidy up goes
  // out as it is.
  async sendTo(target, { method = 'GET', headers = {}, body } = {}) {
    const all = Object.entries(headers);
    const cookie = this.cookieHeader(target.hostname);
    if (cookie && !all.some(([name]) => name.toLowerCase() === 'cookie')) all.push(['cookie', cookie]);
    const answer = await this.#carry(target, method, all, body);
    this.#keepCookies(target.hostname, answer.setCookies);
    return answer;
  }

  navigate(url, options = {}) {
    return this.follow(url, { ...options, headers: { ...NAVIGATE, ...options.headers } });
  }

  fetch(url, options = {}) {
    return this.send(url, { ...options, headers: { ...FETCH, ...options.headers } });
  }

  // Follows redirects; the answer carries the list of URLs that were visited.
  async follow(url, options = {}, visited = []) {
    const answer = await this.send(url, options);
    const trail = [...visited, url];
    const location = answer.header('location');
    if (![301, 302, 303, 307, 308].includes(answer.status) || !location) return Object.assign(answer, { trail });
    if (trail.length > 40) throw new Error(`redirects without end:\n${trail.join('\n')}`);
    const keep = answer.status >= 307 ? options : { headers: options.headers };
    return this.follow(new URL(location, url).href, keep, trail);
  }

  // Fills in and sends the first form of a page.
  submit(page, fields = {}) {
    const form = firstForm(page.text);
    if (!form) throw new Error(`no form on ${page.url} (${page.status}):\n${page.text}`);
    const body = new URLSearchParams({ ...form.hidden, ...fields }).toString();
    const target = new URL(form.action || page.url, page.url).href;
    const origin = new URL(page.url).origin;
    const site = new URL(target).origin === origin ? 'same-origin' : 'cross-site';
    const headers = { ...NAVIGATE, 'sec-fetch-site': site };
    if (form.method === 'get') return this.follow(`${target}?${body}`, { headers });
    return this.follow(target, {
      method: 'POST', body, headers: { ...headers, origin, 'content-type': 'application/x-www-form-urlencoded' },
    });
  }

  // Opens `url` and signs in at the provider's form when it comes up.
  async signIn(url, login) {
    const page = await this.navigate(url);
    if (!page.url.includes('/interaction/')) return page;
    return this.submit(page, { login, password: PASSWORD });
  }

  cookie(host, name) {
    return this.jar.get(host)?.get(name);
  }

  cookieHeader(host) {
    return [...this.jar.get(host) ?? []].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  forgetCookie(host, name) {
    this.jar.get(host)?.delete(name);
  }

  #keepCookies(host, setCookies) {
    const jar = this.jar.get(host) ?? this.jar.set(host, new Map()).get(host);
    for (const line of setCookies) {
      const { name, value, gone } = parseSetCookie(line);
      if (gone) jar.delete(name);
      else if (!this.refuses(name, host)) jar.set(name, value);
    }
  }

  #carry(target, method, headers, body) {
    if (target.protocol === 'http:') return plain(target, method, headers, body);
    return this.h2 ? this.#overH2(target, method, headers, body) : this.#overH1(target, method, headers, body);
  }

  #overH1(target, method, headers, body) {
    return new Promise((resolve, reject) => {
      const request = https.request({
        agent: this.agent, host: '127.0.0.1', port: target.port, servername: target.hostname, ca: this.world.authority.pem,
        ...this.shown, method, path: target.pathname + target.search, setHost: false, headers: flat([['Host', target.host], ...headers], body),
      });
      request.once('error', reject);
      request.once('response', (response) => collect(target, response, response.statusCode, response.rawHeaders, resolve, reject));
      request.end(body);
    });
  }

  #overH2(target, method, headers, body) {
    const stream = this.#session(target).request({
      ':method': method, ':path': target.pathname + target.search, ':authority': target.host, ...Object.fromEntries(headers),
    }, { endStream: body === undefined });
    return new Promise((resolve, reject) => {
      stream.once('error', reject);
      stream.once('response', (fields) => {
        const raw = Object.entries(fields).flatMap(([name, value]) => [value].flat().flatMap((each) => [name, String(each)]));
        collect(target, stream, fields[':status'], raw, resolve, reject);
      });
      if (body !== undefined) stream.end(body);
    });
  }

  #session(target) {
    const open = this.sessions.get(target.hostname);
    if (open && !open.closed && !open.destroyed) return open;
    const session = http2.connect(`https://127.0.0.1:${target.port}`, { servername: target.hostname, ca: this.world.authority.pem });
    session.on('error', () => {});
    this.sessions.set(target.hostname, session);
    return session;
  }
}

function flat(headers, body) {
  const known = headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  const all = body === undefined || known ? headers : [...headers, ['Content-Length', String(Buffer.byteLength(body))]];
  return all.flat();
}

function plain(target, method, headers, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: '127.0.0.1', port: target.port, method, path: target.pathname + target.search, setHost: false,
      headers: flat([['Host', target.host], ...headers], body), agent: false,
    });
    request.once('error', reject);
    request.once('response', (response) => collect(target, response, response.statusCode, response.rawHeaders, resolve, reject));
    request.end(body);
  });
}

function collect(target, stream, status, raw, resolve, reject) {
  const chunks = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  stream.once('error', reject);
  stream.once('end', () => resolve(answer(target.href, status, raw, Buffer.concat(chunks))));
}

function answer(url, status, raw, bytes) {
  const headers = raw.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), raw[index + 1]]] : []));
  return {
    url, status, headers, bytes,
    header: (name) => headers.find(([each]) => each === name)?.[1],
    setCookies: headers.filter(([name]) => name === 'set-cookie').map(([, value]) => value),
    get text() { return bytes.toString('utf8'); },
    get json() { return JSON.parse(bytes.toString('utf8')); },
  };
}

export function parseSetCookie(line) {
  const [pair, ...attributes] = line.split(';').map((part) => part.trim());
  const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
  const attribute = (wanted) => attributes.find((each) => each.toLowerCase().startsWith(wanted))?.split('=')[1];
  const expired = attribute('expires') !== undefined && Date.parse(attribute('expires')) < Date.now();
  return { name, value, attributes, gone: value === '' || Number(attribute('max-age') ?? 1) <= 0 || expired };
}

function firstForm(html) {
  const form = /<form\b([^>]*)>([\s\S]*?)<\/form>/i.exec(html);
  if (!form) return undefined;
  const inputs = [...form[2].matchAll(/<(?:input|button)\b([^>]*)>/gi)].map(([, attributes]) => attributes);
  const hidden = inputs.filter((each) => attributeOf(each, 'type') === 'hidden').map((each) => [attributeOf(each, 'name'), attributeOf(each, 'value')]);
  return { action: attributeOf(form[1], 'action'), method: (attributeOf(form[1], 'method') ?? 'get').toLowerCase(), hidden: Object.fromEntries(hidden) };
}

function attributeOf(text, name) {
  const found = new RegExp(`(?:^|\\s)${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s>]+))`, 'i').exec(text);
  return found && unescapeHtml(found[1] ?? found[2] ?? found[3]);
}

export function unescapeHtml(text) {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(amp|lt|gt|quot|apos));/gi, (_, hex, decimal, name) => (
    name ? { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[name.toLowerCase()] : String.fromCodePoint(Number.parseInt(hex ?? decimal, hex ? 16 : 10))));
}
