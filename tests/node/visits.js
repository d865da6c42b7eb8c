'use strict';
// Makes visits to real Express apps: each line on stdin tells of an app and its visitor, each line on stdout says what
// came of it. The time is what the test says it is.

const http = require('node:http');
const net = require('node:net');
const readline = require('node:readline');
const express = require('express');
const session = require('express-session');
const cookieSession = require('cookie-session');
const perform = require('./operations.js');

let now = 0;
Date.now = () => now;

let app;
const server = http.createServer({ maxHeaderSize: 65536 }, (req, res) => app(req, res));
server.listen(0, '127.0.0.1', async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await visits(JSON.parse(line))));
  }
  server.close();
});

async function visits(row) {
  now = row.now;
  const store = new Store(row.stored);
  app = shop(row, store);
  const jar = new Map();
  const outcomes = [];
  for (const { advance, cookies, ...visit } of row.visits) {
    now += advance;
    store.calls = [];
    const kept = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const fields = (cookies ?? ['{jar}']).map((field) => field.replace('{jar}', kept)).filter((field) => field);
    const { status, lines, body } = await ask(visit, fields);
    for (const line of lines) {
      const [, name, value] = /^([^=]*)=([^;]*)/.exec(line);
      jar.delete(name);
      if (!line.includes('1970')) jar.set(name, value);
    }
    outcomes.push({ status, lines, saw: body && JSON.parse(body), calls: store.calls, texts: store.list() });
  }
  return outcomes;
}

function shop({ middleware, options, keys, looksAt }, store) {
  const app = express();
  app.set('trust proxy', true);
  app.use(middleware === 'cookie-session'
    ? cookieSession({ ...options, keys })
    : session({ ...options, secret: keys, store }));
  app.use(express.json({ strict: false, limit: '1mb' }));
  app.use(async (req, res) => {
    if (req.body === null) return res.end('{}');
    if (!req.session) return res.end('{"session":false}');
    const look = () => looksAt.map((key) => req.session?.[key] ?? null);
    const before = look();
    const failed = await perform(req, req.body);
    res.end(JSON.stringify({ before, after: look(), failed }));
  });
  // eslint-disable-next-line no-unused-vars
  app.use((error, req, res, next) => { res.status(500); res.end(); });
  return app;
}

// As connect-redis: a touch moves the end and leaves the text. What was not there to be destroyed is not told of.
class Store extends session.Store {
  constructor(stored = []) {
    super();
    this.kept = new Map(stored.map(([id, text]) => [id, { text, until: Infinity }]));
    this.calls = [];
  }

  get(id, done) {
    this.calls.push(['get', id]);
    const kept = this.alive(id);
    done(null, kept && JSON.parse(kept.text));
  }

  set(id, session, done) {
    this.calls.push(['set', id, seconds(session)]);
    this.kept.set(id, { text: JSON.stringify(session), until: now + 1000 * seconds(session) });
    done();
  }

  touch(id, session, done) {
    this.calls.push(['touch', id, seconds(session)]);
    const kept = this.alive(id);
    if (kept) kept.until = now + 1000 * seconds(session);
    done();
  }

  destroy(id, done) {
    if (this.alive(id)) this.calls.push(['destroy', id]);
    this.kept.delete(id);
    done();
  }

  alive(id) {
    const kept = this.kept.get(id);
    return kept && kept.until > now ? kept : undefined;
  }

  list() {
    return [...this.kept.keys()].filter((id) => this.alive(id)).map((id) => [id, this.kept.get(id).text]);
  }
}

const seconds = ({ cookie: { expires } }) => (expires ? Math.ceil((new Date(expires) - now) / 1000) : 86400);

// By hand, so that every byte of a cookie goes out as the test has it, also in several fields.
function ask({ path = '/', https, operations }, fields) {
  const body = Buffer.from(JSON.stringify(operations));
  const head = [
    `POST ${path} HTTP/1.1`, 'Host: us.example', 'Connection: close', `X-Forwarded-Proto: ${https ? 'https' : 'http'}`,
    'Content-Type: application/json', `Content-Length: ${body.length}`, ...fields.map((field) => `Cookie: ${field}`),
  ];
  return new Promise((done, failed) => {
    const parts = [];
    const socket = net.connect(server.address().port, '127.0.0.1', () => {
      socket.write(head.join('\r\n') + '\r\n\r\n', 'latin1');
      socket.write(body);
    });
    socket.on('data', (part) => parts.push(part)).on('error', failed).on('end', () => {
      const answer = Buffer.concat(parts);
      const end = answer.indexOf('\r\n\r\n');
      const [first, ...headers] = answer.toString('latin1', 0, end).split('\r\n');
      const lines = headers.filter((header) => /^set-cookie: /i.test(header)).map((header) => header.slice(12));
      const isChunked = headers.some((header) => /^transfer-encoding: chunked/i.test(header));
      const text = answer.subarray(end + 4);
      const body = isChunked ? unchunked(text) : text;
      done({ status: Number(first.split(' ')[1]), lines, body: body.toString() });
    });
  });
}

function unchunked(text) {
  const chunks = [];
  for (let at = 0; ;) {
    const end = text.indexOf('\r\n', at);
    const size = parseInt(text.toString('latin1', at, end), 16);
    if (!size) return Buffer.concat(chunks);
    chunks.push(text.subarray(end + 2, end + 2 + size));
    at = end + 4 + size;
  }
}
