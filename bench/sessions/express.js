// The same three pages with express-session: node express.js PORT, with tests/node/node_modules as NODE_PATH.
const express = require('express');
const session = require('express-session');

const app = express();
app.disable('x-powered-by');
app.get('/none', (req, res) => res.type('text').send('hello'));
app.use(session({ secret: 'a secret for a benchmark, not for you', resave: false, saveUninitialized: false }));
app.get('/read', (req, res) => res.type('text').send(String(req.session.visits ?? 0)));
app.get('/write', (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1;
  res.type('text').send(String(req.session.visits));
});
app.listen(Number(process.argv[2]), '127.0.0.1');
