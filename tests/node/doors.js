'use strict';
// Logins as Express apps have them, each of which says in another way that a password is wrong: 401, 400, the way back
// to the form (passport), and 200 with the form again. None of them counts anything but for the test: GET /checked
// tells how many passwords were looked at since the last time.

const express = require('express');
const expressSession = require('express-session');
const passport = require('passport');
const { Strategy } = require('passport-local');

const app = express();
// The defaults, as most apps have them: whoever comes without a session gets one, guessed right or wrong.
app.use(expressSession({ secret: 'keyboard cat', resave: true, saveUninitialized: true }));
app.use(express.urlencoded({ extended: true }), express.json());
app.use(passport.initialize(), passport.session());

let checked = 0;
const isRight = (username, password) => {
  checked += 1;
  return username.startsWith('user') && password === `right for ${username}`;
};

passport.use(new Strategy((username, password, done) => done(null, isRight(username, password) && { id: username })));
passport.serializeUser((user, done) => done(null, user.id));
passport.deserializeUser((id, done) => done(null, { id }));

const form = (at, message = '') => `<!doctype html><title>Sign in</title><p>${message}</p>
<form method="post" action="${at}"><input name="username"><input type="password" name="password"><button>Sign in</button></form>`;

const door = (name, fail) => {
  const path = `/${name}/login`;
  app.get(path, (req, res) => res.send(form(path)));
  app.post(path, (req, res, next) => {
    const { username, password } = req.body ?? {};
    if (typeof username !== 'string' || !isRight(username, password)) return fail(res, path);
    req.session.regenerate((error) => {
      if (error) return next(error);
      req.session.user = username;
      res.redirect('/account');
    });
  });
};
door('unauthorized', (res) => res.status(401).send('Wrong user name or password.'));
door('bad-request', (res) => res.status(400).json({ error: 'wrong user name or password' }));
door('same-page', (res, path) => res.send(form(path, 'Wrong user name or password.')));
app.get('/passport/login', (req, res) => res.send(form('/passport/login')));
app.post('/passport/login', passport.authenticate('local', {
  successRedirect: '/account',
  failureRedirect: '/passport/login',
}));

// What is no login, and must not be counted as one.
app.post('/sign-up', (req, res) => res.status(422).json({ error: 'that name is taken' }));
app.post('/comments', (req, res) => res.status(400).json({ error: 'say something' }));

app.get('/account', (req, res) => res.send(`<p>${req.session.user ?? req.user?.id ?? 'nobody'}</p>`));
app.get('/checked', (req, res) => {
  res.json(checked);
  checked = 0;
});

app.listen(process.env.PORT);
