'use strict';
// An Express app that does by default what Express does, and badly what apps do badly: it names its software, leaves the
// flags off its cookie, shows its stack, redirects wherever it is told. A request to change the protocol is answered by
// the same routes; /ok changes it. Each request has a name, `x-row`; /seen?row=NAME tells how it came here.

const http = require('node:http');
const express = require('express');
const { WebSocketServer } = require('ws');

const seen = new Map();
const note = (req) => {
  const row = req.headers['x-row'];
  if (row) seen.set(row, { times: (seen.get(row)?.times ?? 0) + 1, headers: req.headers, lines: req.rawHeaders });
};

const app = express();
app.use((req, res, next) => {
  if (req.path !== '/seen') note(req);
  res.append('set-cookie', 'sid=s3cr3t-0f-th3-visit0r; Path=/');
  res.set('server', 'Express on Node');
  next();
});
app.use(express.urlencoded({ extended: true }));
app.get('/seen', (req, res) => res.json(seen.get(req.query.row) ?? null));
app.all('/ok', (req, res) => res.send('ok'));
app.all('/tight', (req, res) => res.send('ok'));
app.all('/write', (req, res) => res.send('written'));
app.all('/own', (req, res) => res.status(500).json({ error: 'we are out of tea' }));
app.all('/throws', () => {
  throw new Error('the database at 10.1.2.3 said no');
});
app.all('/slow', () => {});
app.all('/away', (req, res) => res.redirect(req.query.to));
app.all('/refused', (req, res) => res.status(401).send('no socket for you'));
app.all('/login', (req, res) => res.status(401).send('wrong'));

const server = http.createServer(app);
const sockets = new WebSocketServer({ noServer: true });
sockets.on('headers', (lines) => lines.push('Set-Cookie: sid=s3cr3t-0f-th3-visit0r; Path=/', 'Server: Express on Node'));
server.on('upgrade', (req, socket, head) => {
  socket.on('error', () => {});
  if (req.url.startsWith('/ok?')) {
    note(req);
    return sockets.handleUpgrade(req, socket, head, () => {});
  }
  const res = new http.ServerResponse(req);
  res.assignSocket(socket);
  res.on('finish', () => socket.end());
  return app(req, res);
});
server.listen(process.env.PORT, '127.0.0.1');
