'use strict';
// What Express sees of a request: each line of stdin is { type, query, body } with the body's bytes, and is answered
// with a list of [names, text], one for each text, number and boolean that any of its readers finds; of a body that
// a reader refuses, nothing.

const { Readable } = require('node:stream');
const querystring = require('node:querystring');
const readline = require('node:readline');
const express = require('express');
const multer = require('multer');
const qs = require('qs');

const readers = [
  express.json(),
  express.json({ type: ['json', '+json', 'text/json'], strict: false }),
  express.urlencoded({ extended: true }),
  express.urlencoded({ extended: false }),
  multer().none(),
  multer().any(),
];

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { type, query, body } = JSON.parse(line);
    const found = [];
    for (const reader of readers) leaves(await read(reader, type, Buffer.from(body)), [], found);
    // As Express 4 and Express 5 read it.
    leaves(qs.parse(query, { allowPrototypes: true }), [], found);
    leaves(querystring.parse(query), [], found);
    console.log(JSON.stringify(found));
  }
}

function read(reader, type, body) {
  const req = Readable.from([body]);
  req.headers = { 'content-type': type, 'content-length': String(body.length) };
  return new Promise((resolve) => reader(req, {}, (error) => resolve(error ? undefined : req.body)));
}

function leaves(value, names, found) {
  if (value === null || value === undefined) return;
  if (typeof value !== 'object') {
    // Half a surrogate pair becomes U+FFFD as soon as it leaves Node.
    found.push([names.map(whole), whole(String(value))]);
    return;
  }
  for (const name of Object.keys(value)) leaves(value[name], [...names, name], found);
}

function whole(text) {
  return Buffer.from(text).toString();
}

main();
