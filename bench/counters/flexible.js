// Decisions of rate-limiter-flexible in memory, one after the other: `node flexible.js KEYS DECISIONS`.
const { RateLimiterMemory } = require('rate-limiter-flexible');

const [keys, decisions] = process.argv.slice(2).map(Number);
const hex = (n) => n.toString(16).padStart(4, '0');
const names = Array.from({ length: keys }, (_, n) => `2001:db8:${hex(n >> 16)}:${hex(n & 0xffff)}::`);
const limiter = new RateLimiterMemory({ keyPrefix: 'login', points: 2 ** 32, duration: 86400 });

(async () => {
  for (const name of names) await limiter.consume(name, 1);
  const start = process.hrtime.bigint();
  for (let n = 0; n < decisions; n++) await limiter.consume(names[n % keys], 1);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  console.log((decisions / seconds).toFixed(0));
  process.exit(); // each key has a timer
})();
