'use strict';
// Required by NODE_OPTIONS into every Node process under `panoply run`: the app, but npm and build tools too.
// So it does nothing where the gateway did not ask, and never throws: an app that worked without it works with it.
// Syntax and modules are those of old Nodes: a SyntaxError here would keep the app from starting.

const HEADER = 'x-panoply-visitor';
// X-Forwarded-Proto stays: apps redirect by hand to https where it is not `https`, which would never end.
const STATED = [HEADER, 'forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-port'];
const VISITOR = ['encrypted', 'remoteAddress', 'remotePort', 'remoteFamily'];
const REQUESTS = new Set(['request', 'upgrade', 'checkContinue', 'checkExpectation', 'connect']);

(function () {
  const port = Number(process.env.PANOPLY_PORT);
  const proof = process.env.PANOPLY_PROOF; // stays in the environment: npm and cluster hand it down to the app
  attempt(function () { if (port > 0 && port < 65536) bindToLoopback(port, process.env.PANOPLY_PRELOADED); });
  attempt(function () { if (proof) believeTheGateway(Buffer.from(proof)); });

  // `app.listen(PORT)` binds every address, and whoever reaches that port goes around the gateway.
  function bindToLoopback(ours, marker) {
    const Server = require('net').Server;
    const listen = Server.prototype.listen;

    Server.prototype.listen = function (first) {
      const args = Array.prototype.slice.call(arguments);
      const server = this;
      let wanted = null;
      attempt(function () { wanted = asked(args); });
      if (!wanted || wanted.port !== ours) return listen.apply(server, args);
      attempt(function () { tell(server); });
      if (!isWildcard(wanted.host)) return listen.apply(server, args);

      const bound = onLoopback(first);
      const setup = server._listen2;
      // Node binds a host in a later tick, but no host at once, and apps read `address()` right after `listen`.
      // A cluster worker is the exception: its primary binds, later, the host it is told.
      const atOnce = !wanted.host && typeof setup === 'function' && (bound.exclusive || !require('cluster').isWorker);
      args[0] = bound; // the rest keeps its place: backlog and callback are found by position
      if (!atOnce) return listen.apply(server, args);

      bound.host = undefined;
      server._listen2 = function () {
        arguments[0] = '127.0.0.1';
        return setup.apply(server, arguments);
      };
      try { return listen.apply(server, args); } finally { delete server._listen2; }
    };

    function tell(server) {
      if (server.listeners('listening').indexOf(mark) < 0) server.once('listening', mark);
    }

    function mark() {
      const server = this;
      attempt(function () {
        if (server.address().port === ours) require('fs').writeFileSync(marker, String(process.pid));
      });
    }
  }

  // The port and host that these arguments of `listen` ask for; nothing for pipes, handles and file descriptors.
  function asked(args) {
    const first = args[0];
    if (typeof first === 'number' || typeof first === 'string') {
      return { port: Number(first), host: typeof args[1] === 'string' ? args[1] : '' };
    }
    if (typeof first !== 'object' || first === null) return null;
    if (first._handle || first.handle || (typeof first.fd === 'number' && first.fd >= 0)) return null;
    if (typeof first.port !== 'number' && typeof first.port !== 'string') return null;
    return { port: Number(first.port), host: first.host };
  }

  // A copy, for the app may use its options again or have frozen them; what they inherit still counts.
  // `ipv6Only` is refused for an IPv4 address.
  function onLoopback(first) {
    const options = typeof first === 'object' ? first : { port: first };
    return Object.setPrototypeOf(Object.assign({}, options, { host: '127.0.0.1', ipv6Only: false }), options);
  }

  // Also 0, ::0 and ::ffff:0.0.0.0, which the system reads as every address.
  function isWildcard(host) {
    return !host || (typeof host === 'string' && /^(::ffff:)?[0.:]+$/i.test(host));
  }

  // Behind a gateway the socket shows the gateway over plain HTTP, so an app with `cookie.secure` and no
  // `trust proxy` silently drops its session. With the proof, the socket shows the visitor instead.
  function believeTheGateway(secret) {
    const http = require('http');
    const proto = http.Server.prototype;
    const parent = Object.getPrototypeOf(proto);
    const before = Object.prototype.hasOwnProperty.call(proto, 'emit') && proto.emit;
    const seen = new WeakSet(); // apps emit a request again, to another server or from `checkContinue`
    const marked = new WeakSet();

    proto.emit = function (event, req) {
      if (REQUESTS.has(event) && req instanceof http.IncomingMessage && !seen.has(req)) {
        seen.add(req);
        attempt(function () { meet(req); });
      }
      return (before || parent.emit).apply(this, arguments);
    };

    function meet(req) {
      const visitor = visitorIn(req.headers[HEADER], secret);
      if (visitor) strip(req, STATED); // the socket says it now, and rate limiters warn of both
      else if (HEADER in req.headers) strip(req, [HEADER]);
      if (visitor) {
        Object.keys(visitor).forEach(function (key) { // one connection carries many visitors, one after the other
          Object.defineProperty(req.socket, key, { value: visitor[key], configurable: true, enumerable: true, writable: true });
        });
        marked.add(req.socket);
      } else if (marked.delete(req.socket)) {
        VISITOR.forEach(function (key) { delete req.socket[key]; });
      }
    }
  }

  // `<proof> <ip> <port>`; two such headers are joined by a comma and so prove nothing.
  function visitorIn(header, secret) {
    const parts = typeof header === 'string' ? header.split(' ') : [];
    const claim = Buffer.from(parts[0] || '');
    if (parts.length !== 3 || claim.length !== secret.length) return null;
    if (!require('crypto').timingSafeEqual(claim, secret)) return null;
    const family = require('net').isIP(parts[1]);
    const remotePort = Number(parts[2]);
    if (!family || !(remotePort >= 0 && remotePort < 65536)) return null;
    return { encrypted: true, remoteAddress: parts[1], remotePort: remotePort, remoteFamily: 'IPv' + family };
  }

  function strip(req, names) {
    // Both are made on first reading, out of as many raw headers as arrived: read them before that list shrinks.
    const views = [req.headers, req.headersDistinct];
    views.forEach(function (view) {
      if (view) names.forEach(function (name) { delete view[name]; });
    });
    const raw = req.rawHeaders;
    const kept = [];
    for (let at = 0; at < raw.length; at += 2) {
      if (names.indexOf(raw[at].toLowerCase()) < 0) kept.push(raw[at], raw[at + 1]);
    }
    req.rawHeaders = kept;
  }

  function attempt(work) {
    try { work(); } catch (_) { /* the app's business goes on without us */ }
  }
})();
