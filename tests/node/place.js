'use strict';
// One of several places of an app. It writes down every request before it answers, so that whoever counts the lines of
// LEDGER knows how often each came to any of them, also to one that was killed. PORT may be a socket file, HOST another address; with CERT and
// KEY it speaks TLS; with STREAMS it speaks HTTP/2, takes so many at once, and says good-bye after some ten. To
// /together/12 it answers when twelve have asked.

const fs = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');

const { CERT, HOST = '127.0.0.1', KEY, LEDGER, NAME, PORT, STREAMS } = process.env;
const refused = new Set();
const together = [];

function answer(req, res) {
  if (req.url === '/health') return res.writeHead(fs.existsSync(`${LEDGER}.sick.${NAME}`) ? 503 : 204).end();
  if (req.url.startsWith('/refuse/') && !refused.has(req.url)) {
    refused.add(req.url);
    return req.stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  }
  fs.appendFileSync(LEDGER, `${req.method} ${req.url} ${NAME}\n`);
  if (req.url.startsWith('/together/')) {
    if (together.push(res) < Number(req.url.slice('/together/'.length))) return undefined;
    return together.splice(0).forEach((one) => one.end(NAME));
  }
  // As long as a small query takes: whoever is killed has some under way.
  setTimeout(() => res.end(NAME), 5);
  return undefined;
}

function server() {
  const tls = CERT && { cert: fs.readFileSync(CERT), key: fs.readFileSync(KEY) };
  if (!STREAMS) return tls ? https.createServer(tls, answer) : http.createServer(answer);
  const settings = { maxConcurrentStreams: Number(STREAMS) };
  const made = tls ? http2.createSecureServer({ ...tls, settings }, answer) : http2.createServer({ settings }, answer);
  return made.on('session', (session) => {
    const last = 10 + Math.floor(Math.random() * 10);
    let [came, open, most] = [0, 0, 0];
    session.on('stream', (stream) => {
      came += 1;
      open += 1;
      most = Math.max(most, open);
      stream.on('close', () => (open -= 1));
      if (came === last) session.close();
    });
    session.on('error', () => {});
    session.on('close', () => fs.appendFileSync(`${LEDGER}.sessions`, `${most}\n`));
  });
}

server().listen(PORT, HOST);
