'use strict';
// Express's own answers, with nothing added: its 404, its errors, its reply to OPTIONS and to a malformed path.
// NODE_ENV decides whether errors show their stack.

const express = require('express');

const app = express();
app.get('/', (req, res) => res.send('bare'));
app.get('/items/:id', (req, res) => res.json({ id: req.params.id })); // /items/%ZZ does not decode: 400
app.route('/both').get((req, res) => res.send('read')).post((req, res) => res.send('written'));
app.get('/throw', () => {
  throw new Error('thrown');
});
app.get('/reject', async () => {
  throw new Error('rejected');
});
app.get('/error/:status', (req, res, next) => {
  next(Object.assign(new Error(`failed with ${req.params.status}`), { status: Number(req.params.status) }));
});
app.listen(process.env.PORT);
