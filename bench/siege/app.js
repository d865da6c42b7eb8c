'use strict';
// The app under siege: a page, a login, and all that takes long. It writes down what should never have come to it.

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const { pipeline, Readable } = require('node:stream');
const express = require('express');
const { WebSocketServer } = require('ws');

const { JUDGE, PORT } = process.env;
const PIECE = crypto.randomBytes(64 * 1024);

const app = express();
app.use((req, res, next) => {
  if (req.url.includes('smuggled')) fs.appendFileSync(JUDGE, `${req.method} ${req.url}\n`);
  next();
});
app.get('/', (req, res) => res.send('<!doctype html><title>Shop</title><p>Welcome.</p>'));
app.post('/login', express.urlencoded({ extended: false }), (req, res) => {
  if (req.body.user !== 'ann' || req.body.password !== 'correct horse') return res.status(401).send('No.');
  return res.cookie('sid', crypto.randomBytes(16).toString('hex'), { httpOnly: true }).send('Welcome, ann.');
});
app.get('/long/download', (req, res) => {
  const bytes = Math.min(Number(req.query.bytes) || 0, 1 << 30);
  res.set('content-length', String(bytes));
  pipeline(Readable.from(pieces(bytes)), res, () => {}); // who leaves is no error
});

function* pieces(bytes) {
  for (let left = bytes; left > 0; left -= PIECE.length) yield PIECE.subarray(0, Math.min(left, PIECE.length));
}

app.post('/long/upload', (req, res) => {
  let bytes = 0;
  req.on('data', (piece) => (bytes += piece.length));
  req.on('end', () => res.json({ bytes }));
});
app.get('/long/events', (req, res) => {
  res.set('content-type', 'text/event-stream').flushHeaders();
  let number = 0;
  const timer = setInterval(() => res.write(`id: ${(number += 1)}\ndata: ${Date.now()}\n\n`), 200);
  res.on('close', () => clearInterval(timer));
});

const server = http.createServer(app);
new WebSocketServer({ server, path: '/long/echo' }).on('connection', (socket) => {
  socket.on('message', (message) => socket.send(message));
});
server.listen(PORT, '127.0.0.1');
