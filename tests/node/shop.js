'use strict';
// An ordinary, badly protected Express app, as found on many servers: the gateway has to carry it unchanged.
// Kept wrong on purpose: no helmet, no `trust proxy` although the cookie is `secure`, a secret in the source,
// a session that survives login, an open redirect, no origin check on the WebSocket, uploads of any size, stack
// traces for visitors. Do not repair it: each of these is what a test shows the gateway to make good.

const { createHash } = require('node:crypto');
const path = require('node:path');
const { Readable } = require('node:stream');
const express = require('express');
const expressSession = require('express-session');
const multer = require('multer');
const { WebSocket, WebSocketServer } = require('ws');

const app = express();
const session = expressSession({
  secret: 'keyboard cat',
  resave: false,
  saveUninitialized: false,
  cookie: { secure: true },
});

app.use(session);
app.use(express.static(path.join(__dirname, 'public')));

// Pages

app.get('/', (req, res) => res.send(home()));

app.post('/login', express.urlencoded({ extended: false }), (req, res) => {
  const { email, password } = req.body ?? {};
  if (password !== 'correct horse') return res.status(401).send(home('Wrong email or password.'));
  req.session.user = email;
  res.redirect('/account');
});

app.get('/account', (req, res) => {
  if (!req.session.user) return res.redirect('/');
  res.send(page('Account', `
    <p>Signed in as <b id="user">${escape(req.session.user)}</b></p>
    <form method="post" action="/logout"><button>Sign out</button></form>`));
});

app.post('/logout', (req, res, next) => {
  req.session.destroy((error) => (error ? next(error) : res.redirect('/')));
});

app.get('/chat', (req, res) => res.send(page('Chat', `
  <ul id="messages"></ul>
  <form id="chat"><input name="text" autocomplete="off"><button>Send</button></form>`)));

app.get('/live', (req, res) => res.send(page('Live', '<ul id="events"></ul>')));

// What a proxy may break: streams, trailers, validators, cookies

app.post('/upload', multer({ storage: multer.memoryStorage() }).single('file'), (req, res) => {
  if (!req.file) return res.status(400).json({ error: 'no file' });
  const { originalname: name, size, buffer } = req.file;
  res.json({ name, size, sha256: createHash('sha256').update(buffer).digest('hex') });
});

app.get('/events', (req, res) => {
  res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  let count = 0;
  const send = () => res.write(`id: ${count}\ndata: event ${count++}\n\n`);
  send();
  const timer = setInterval(send, 200);
  res.on('close', () => clearInterval(timer));
});

app.post('/echo', (req, res) => {
  res.set('Content-Type', req.get('content-type') ?? 'application/octet-stream');
  req.pipe(res);
});

app.get('/large', (req, res) => {
  res.type('application/octet-stream');
  Readable.from(chunks(Number(req.query.bytes) || 0)).pipe(res);
});

app.get('/trailers', (req, res) => {
  const body = 'the trailer follows\n';
  res.set({ 'Content-Type': 'text/plain', Trailer: 'X-Checksum' });
  res.write(body);
  res.addTrailers({ 'X-Checksum': createHash('sha256').update(body).digest('hex') });
  res.end();
});

app.get('/etag', (req, res) => res.type('text').send('the same text every time\n'));

app.get('/cookies', (req, res) => {
  res.cookie('theme', 'dark');
  res.cookie('connect.sid2', 's:4fQzP0bJ7yXo2mVn.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI');
  res.cookie('XSRF-TOKEN', 'abc');
  res.json({ set: 3 });
});

// What an attacker looks for

app.get('/crash', () => {
  throw new Error('the till is on fire');
});

app.get('/go', (req, res) => res.redirect(req.query.to));

app.get('/whoami', (req, res) => {
  const { ip, secure, protocol, hostname, headers } = req;
  res.json({ ip, secure, protocol, hostname, headers });
});

const server = app.listen(process.env.PORT);

const chat = new WebSocketServer({ noServer: true });

server.on('upgrade', (req, socket, head) => {
  if (new URL(req.url, 'http://shop').pathname !== '/ws') return socket.destroy();
  session(req, {}, () => {
    chat.handleUpgrade(req, socket, head, (visitor) => join(visitor, req.session?.user ?? 'guest'));
  });
});

function join(visitor, name) {
  visitor.on('error', () => visitor.terminate());
  visitor.on('message', (text) => {
    for (const other of chat.clients) {
      if (other.readyState === WebSocket.OPEN) other.send(`${name}: ${text}`);
    }
  });
}

function* chunks(bytes) {
  const chunk = Buffer.alloc(64 * 1024, 'panoply ');
  for (let left = bytes; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
}

function home(message = '') {
  return page('Shop', `
    <p id="message">${message}</p>
    <form id="login" method="post" action="/login">
      <input name="email" type="email" placeholder="Email">
      <input name="password" type="password" placeholder="Password">
      <button>Sign in</button>
    </form>
    <form id="upload" method="post" action="/upload" enctype="multipart/form-data">
      <input name="file" type="file"><button>Upload</button>
    </form>
    <nav><a href="/account">Account</a> <a href="/chat">Chat</a> <a href="/live">Live</a>
      <a href="/go?to=/account">Go</a></nav>`);
}

function page(title, body) {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${title}</title>
<script>document.documentElement.dataset.inline = 'ran';</script>
<script src="/app.js" defer></script></head>
<body><h1>${title}</h1>${body}
</body></html>
`;
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
