'use strict';
// An Express app that keeps its sessions in Redis or PostgreSQL, where an app in Rust finds them, as it finds that
// app's. A visit says what is to be done with its session, and which values it wants to see.

const express = require('express');
const session = require('express-session');
const perform = require('./operations.js');

const { PORT, SECRET, REDIS_URL, DATABASE_URL, MAX_AGE } = process.env;

const app = express();
app.use(session({
  secret: SECRET, store: store(), resave: false, saveUninitialized: false,
  cookie: MAX_AGE ? { maxAge: Number(MAX_AGE) } : {},
}));
app.use(express.json({ limit: '1mb' }));
app.post('/', async (req, res) => {
  const { looksAt, operations } = req.body;
  const look = () => looksAt.map((key) => req.session?.[key] ?? null);
  const before = look();
  const failed = await perform(req, operations);
  res.json({ before, after: look(), failed });
});
app.listen(PORT, '127.0.0.1');

function store() {
  if (REDIS_URL) {
    const client = require('redis').createClient({ url: REDIS_URL });
    client.connect();
    return new (require('connect-redis').RedisStore)({ client });
  }
  return new (require('connect-pg-simple')(session))({ conString: DATABASE_URL, pruneSessionInterval: false });
}
