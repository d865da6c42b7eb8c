'use strict';
// One of several places of an app. It writes down every request before it answers, so that whoever counts the lines of
// LEDGER knows how often each came to any of them, also to one that was killed. PORT may be a socket file; with CERT and
// KEY it speaks TLS.

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');

const { CERT, KEY, LEDGER, NAME, PORT } = process.env;

function answer(req, res) {
  if (req.url === '/health') return res.writeHead(fs.existsSync(`${LEDGER}.sick.${NAME}`) ? 503 : 204).end();
  fs.appendFileSync(LEDGER, `${req.method} ${req.url} ${NAME}\n`);
  // As long as a small query takes: whoever is killed has some under way.
  setTimeout(() => res.end(NAME), 5);
  return undefined;
}

const server = CERT
  ? https.createServer({ cert: fs.readFileSync(CERT), key: fs.readFileSync(KEY) }, answer)
  : http.createServer(answer);
server.listen(PORT, '127.0.0.1');
