'use strict'
// rate-limiter-flexible, asked over stdin: one JSON object a line, one line of JSON back. Where the CLOCK
// is to stand still, time passes when it is told to.
const readline = require('node:readline')

async function open() {
  const url = process.env.STORE
  if (url.startsWith('postgres:')) {
    const { RateLimiterPostgres } = require('rate-limiter-flexible')
    const storeClient = new (require('pg').Pool)({ connectionString: url })
    const table = { tableName: 'rlflx', tableCreated: true, clearExpiredByTimeout: false }
    return (options) => new RateLimiterPostgres({ storeClient, ...table, ...options })
  }
  if (url !== 'memory') {
    const { RateLimiterRedis } = require('rate-limiter-flexible')
    const storeClient = require('redis').createClient({ url })
    await storeClient.connect()
    return (options) => new RateLimiterRedis({ storeClient, useRedisPackage: true, ...options })
  }
  const { RateLimiterMemory } = require('rate-limiter-flexible')
  return (options) => new RateLimiterMemory(options)
}

let now = Date.now()
let timers = []

function stop() {
  Date.now = () => now
  global.setTimeout = (then, milliseconds) => {
    const timer = { then, at: now + milliseconds }
    timers.push(timer)
    return timer
  }
  global.clearTimeout = (timer) => {
    timers = timers.filter((other) => other !== timer)
  }
}

function pass(milliseconds) {
  now += milliseconds
  const due = timers.filter(({ at }) => at <= now)
  timers = timers.filter(({ at }) => at > now)
  for (const { then } of due) then()
}

async function main() {
  const limiters = new Map()
  const create = await open()
  if (process.env.CLOCK === 'still') stop()
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { options, verb, key, values, milliseconds } = JSON.parse(line)
    const name = JSON.stringify(options)
    if (options && !limiters.has(name)) limiters.set(name, create(options))
    let answer
    if (verb === 'pass') {
      pass(milliseconds)
      answer = null
    } else {
      try {
        answer = await limiters.get(name)[verb](key, ...values)
      } catch (refusal) {
        answer = refusal instanceof Error ? { error: refusal.message } : { refused: true, ...shown(refusal) }
      }
      if (answer?.toJSON) answer = { refused: false, ...shown(answer) }
    }
    console.log(JSON.stringify(answer))
  }
  process.exit()
}

function shown({ consumedPoints, remainingPoints, msBeforeNext, isFirstInDuration }) {
  return { consumedPoints, remainingPoints, msBeforeNext, isFirstInDuration }
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
