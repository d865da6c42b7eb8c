'use strict';
// A login as Express has it by its defaults, which takes whatever its readers take: by any method, from the query too,
// inflated, in UTF-16, as parts. It compares addresses of e-mail as express-validator's normalizeEmail makes them.
// GET /checked tells whose passwords were looked at how often since the last time.

const express = require('express');
const multer = require('multer');

const app = express();
app.use(express.json({ type: ['json', '+json', 'text/plain'] }), express.urlencoded({ extended: true }), multer().none());

let checked = {};
const isRight = ({ username, password }) => {
  const name = mailbox(String(username).trim().normalize('NFKC').toLowerCase());
  checked[name] = (checked[name] ?? 0) + 1;
  return password === `right for ${name}`;
};

function mailbox(name) {
  const at = name.lastIndexOf('@gmail.com');
  return at < 0 ? name : `${name.slice(0, at).split('+')[0].replaceAll('.', '')}@gmail.com`;
}

const sent = (req) => ({ ...req.query, ...req.body, ...req.body?.user });
app.all('/login', (req, res) => {
  const credentials = sent(req);
  if (req.method === 'GET' && credentials.password === undefined) return res.send('<input type="password">');
  if (isRight(credentials)) return res.redirect('/account');
  return res.status(401).json({ error: 'wrong' });
});

// The app looks at once, and answers when it likes.
app.post('/slow/login', (req, res) => {
  const outcome = isRight(sent(req));
  setTimeout(() => (outcome ? res.redirect('/account') : res.sendStatus(401)), 1000);
});
// It does not survive a wrong one.
app.post('/brittle/login', (req, res) => (isRight(sent(req)) ? res.redirect('/account') : req.socket.destroy()));
// As tutorials say it.
app.post('/wordy/login', (req, res) => {
  if (isRight(sent(req))) return res.redirect('/account');
  return res.send('Incorrect Username and/or Password!');
});

app.get('/account', (req, res) => res.send('hello'));
app.get('/checked', (req, res) => {
  res.json(checked);
  checked = {};
});
// What no reader takes.
app.use((error, req, res, next) => (res.headersSent ? next(error) : res.sendStatus(error.status ?? 500)));

app.listen(process.env.PORT);
