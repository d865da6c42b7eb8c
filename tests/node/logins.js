'use strict';
// Two ways in which Express apps keep a login: express-session on the server, cookie-session in the cookie itself.
// Each page says what the app was sent and whom it takes the visitor for.

const cookieSession = require('cookie-session');
const express = require('express');
const expressSession = require('express-session');

const app = express();

const kept = express.Router();
kept.use(expressSession({ secret: 'keyboard cat', resave: false, saveUninitialized: false }));
kept.get('/logout', (req, res, next) => req.session.destroy((error) => {
  if (error) return next(error);
  res.clearCookie('connect.sid');
  res.json({});
}));

const carried = express.Router();
carried.use(cookieSession({ name: 'session', keys: ['first key', 'second key'] }));
carried.get('/logout', (req, res) => {
  req.session = null;
  res.json({});
});

for (const router of [kept, carried]) {
  router.get('/login', (req, res) => {
    req.session.user = req.query.user;
    if (req.query.size) req.session.ballast = 'x'.repeat(Number(req.query.size));
    res.json({});
  });
  router.get('/me', (req, res) => res.json({ user: req.session?.user ?? null, sent: req.headers.cookie ?? null }));
}
app.use('/kept', kept);
app.use('/carried', carried);

app.listen(process.env.PORT);
