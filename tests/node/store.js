'use strict'
// A session store of Node's, asked over stdin: one JSON object a line, one line of JSON back.
const readline = require('node:readline')
const { promisify } = require('node:util')
const session = require('express-session')

async function open() {
  const url = process.env.STORE
  if (url.startsWith('redis:')) {
    const { RedisStore } = require('connect-redis')
    const client = require('redis').createClient({ url })
    await client.connect()
    return new RedisStore({ client })
  }
  const PgStore = require('connect-pg-simple')(session)
  return new PgStore({ conString: url, pruneSessionInterval: false })
}

async function main() {
  const store = await open()
  const ask = (verb, ...values) => promisify(store[verb].bind(store))(...values)
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { verb, id, text } = JSON.parse(line)
    let answer = null
    if (verb === 'get') answer = JSON.stringify((await ask('get', id)) ?? null)
    if (verb === 'set') await ask('set', id, JSON.parse(text))
    if (verb === 'touch') await ask('touch', id, JSON.parse(text))
    if (verb === 'destroy') await ask('destroy', id)
    // As Node would write what it had read.
    if (verb === 'print') answer = JSON.stringify(JSON.parse(text))
    console.log(JSON.stringify(answer))
  }
  process.exit()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
