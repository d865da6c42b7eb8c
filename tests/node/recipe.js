'use strict'
// The login that Express's page on security points to, protected by rate-limiter-flexible as its recipe says: two
// limiters, both asked before the password is looked at. Asked over stdin: one JSON object a line,
// {"username", "ip", "right"}, one line of JSON back, {"status", "retryAfter"}.
const readline = require('node:readline')
const { RateLimiterRedis } = require('rate-limiter-flexible')

const MOST_BY_IP = 100
const MOST_IN_A_ROW = 10

async function main() {
  const storeClient = require('redis').createClient({ url: process.env.STORE })
  await storeClient.connect()
  const byIp = new RateLimiterRedis({
    storeClient,
    useRedisPackage: true,
    keyPrefix: 'login_fail_ip_per_day',
    points: MOST_BY_IP,
    duration: 60 * 60 * 24,
    blockDuration: 60 * 60 * 24,
  })
  const byPair = new RateLimiterRedis({
    storeClient,
    useRedisPackage: true,
    keyPrefix: 'login_fail_consecutive_username_and_ip',
    points: MOST_IN_A_ROW,
    duration: 60 * 60 * 24 * 90,
    blockDuration: 60 * 60,
  })

  async function login({ username, ip, right }) {
    const pair = `${username}_${ip}`
    const [pairs, ips] = await Promise.all([byPair.get(pair), byIp.get(ip)])
    const seconds = (milliseconds) => Math.round(milliseconds / 1000) || 1
    if (ips !== null && ips.consumedPoints > MOST_BY_IP) return { status: 429, retryAfter: seconds(ips.msBeforeNext) }
    if (pairs !== null && pairs.consumedPoints > MOST_IN_A_ROW) {
      return { status: 429, retryAfter: seconds(pairs.msBeforeNext) }
    }
    if (right) {
      if (pairs !== null && pairs.consumedPoints > 0) await byPair.delete(pair)
      return { status: 200, retryAfter: 0 }
    }
    try {
      await Promise.all([byIp.consume(ip), byPair.consume(pair)])
      return { status: 401, retryAfter: 0 }
    } catch (refusal) {
      if (refusal instanceof Error) throw refusal
      return { status: 429, retryAfter: seconds(refusal.msBeforeNext) }
    }
  }

  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await login(JSON.parse(line))) + '\n')
  }
  process.exit()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
