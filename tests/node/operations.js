'use strict';
// What a visit does to its session, told as a list: `["set", "cart", 3]`, `["regenerate"]`. The Rust tests have the
// same list for an axum app.

module.exports = async function perform(req, operations) {
  const failed = [];
  for (const [operation, key, value] of operations) {
    try {
      await OPERATIONS[operation](req, key, value);
    } catch {
      failed.push(operation);
    }
  }
  return failed;
};

const asked = (req, method) => new Promise((done, failed) => {
  req.session[method]((error) => (error ? failed(error) : done()));
});

const OPERATIONS = {
  set: (req, key, value) => { req.session[key] = value; },
  // Text that no other program has read before; `{"$date": 0}` is a Date.
  fill: (req, text) => { Object.assign(req.session, JSON.parse(text, (_, value) => (isDate(value) ? new Date(value.$date) : value))); },
  delete: (req, key) => { delete req.session[key]; },
  clear: (req) => { for (const key of Object.keys(req.session)) if (key !== 'cookie') delete req.session[key]; },
  regenerate: (req) => asked(req, 'regenerate'),
  destroy: (req) => asked(req, 'destroy'),
  save: (req) => asked(req, 'save'),
  reload: (req) => asked(req, 'reload'),
  touch: (req) => { req.session.touch(); },
  unset: (req) => { req.session = null; },
  // A cookie of the app's own.
  cookie: (req, line) => { req.res.append('Set-Cookie', line); },
  // Until another visit says `go`; `met` is answered once this one is here.
  wait: () => new Promise((go) => { waiting.push(go); for (const met of asking.splice(0)) met(); }),
  met: () => new Promise((met) => { if (waiting.length) met(); else asking.push(met); }),
  go: () => { for (const go of waiting.splice(0)) go(); },
};

const isDate = (value) => value !== null && typeof value === 'object' && '$date' in value;
const waiting = [];
const asking = [];
