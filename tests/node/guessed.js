'use strict';
// An Express app with a login, for whoever guesses its passwords: GET /checked says how many guesses were compared,
// and each is a line `checked NAME` on stdout. FAILS says how it answers a wrong one: `401`, `400`, `redirect` (back
// to the form, as passport does) or `again` (200 and the form). Its sessions are express-session's by default:
// whoever comes without a cookie gets one, also with a wrong password.

const express = require('express');
const expressSession = require('express-session');
const passport = require('passport');
const { Strategy } = require('passport-local');

const { PORT, FAILS = '401' } = process.env;
const PASSWORDS = new Map([['tim', 'correct horse'], ['ann', 'battery staple'], ['joe', 'tr0ub4dor']]);
const checked = new Map();

const app = express();
app.use(expressSession({ secret: 'keyboard cat', resave: true, saveUninitialized: true }));
app.use(express.urlencoded({ extended: true }), express.json());
app.use(passport.initialize(), passport.session());
passport.use(new Strategy((username, password, done) => {
  if (isRight(username, password)) return done(null, { username });
  done(null, false, { message: 'Wrong name or password.' });
}));
passport.serializeUser((user, done) => done(null, user.username));
passport.deserializeUser((username, done) => done(null, { username }));

app.get('/', (req, res) => res.send('<h1>Shop</h1>'));
app.get('/login', (req, res) => res.send(form(req.session.messages?.pop())));
app.get('/account', (req, res) => {
  if (!req.user) return res.redirect('/login');
  res.send(`<h1>Account</h1><p>Signed in as <b>${escape(req.user.username)}</b></p>`);
});
app.get('/checked', (req, res) => {
  const total = [...checked.values()].reduce((sum, count) => sum + count, 0);
  res.json({ total, names: Object.fromEntries(checked) });
});

if (FAILS === 'redirect') {
  app.post('/login', passport.authenticate('local', {
    successRedirect: '/account', failureRedirect: '/login', failureMessage: true,
  }));
} else {
  app.post('/login', (req, res, next) => {
    const { username, password } = req.body ?? {};
    if (!isRight(username, password)) return fail(res, req.is('json'));
    req.login({ username }, (error) => {
      if (error) return next(error);
      if (req.is('json')) res.json({ user: username });
      else res.redirect('/account');
    });
  });
}

app.listen(PORT, '127.0.0.1');

// The comparison that guesses must not reach.
function isRight(username, password) {
  const name = String(username);
  checked.set(name, (checked.get(name) ?? 0) + 1);
  console.log(`checked ${name}`);
  return PASSWORDS.has(name) && PASSWORDS.get(name) === password;
}

function fail(res, isJson) {
  if (FAILS !== 'again') res.status(Number(FAILS));
  if (isJson) res.json({ error: 'Wrong name or password.' });
  else res.send(form('Wrong name or password.'));
}

function form(message = '') {
  return `<!doctype html><title>Log in</title><p>${escape(message)}</p>
    <form method="post" action="/login">
      <label>Name <input name="username" autocomplete="username"></label>
      <label>Password <input name="password" type="password" autocomplete="current-password"></label>
      <button>Log in</button>
    </form>`;
}

function escape(text) {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
