// Makes a database's worth of advisories, and a lockfile to hold against them, from the real records in the tests.
// Each record is told again under other names until there are as many as asked for.
//
//   node records.js RECORDS PACKAGES FOLDER      writes FOLDER/records.jsonl and FOLDER/package-lock.json
'use strict';
const fs = require('fs');
const path = require('path');

const [records, packages, folder] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
const real = fs
  .readFileSync(path.join(__dirname, '../../crates/inspect/tests/data/osv_npm.jsonl'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line));

const out = fs.openSync(path.join(folder, 'records.jsonl'), 'w');
let batch = [];
for (let number = 0; number < records; number++) {
  const record = structuredClone(real[number % real.length]);
  const round = Math.floor(number / real.length);
  record.id = `BENCH-${number}`;
  record.aliases = record.aliases.map((alias) => `${alias}-${round}`);
  for (const affected of record.affected) affected.package.name = renamed(affected.package.name, round);
  batch.push(JSON.stringify(record));
  if (batch.length === 1000 || number === records - 1) {
    fs.writeSync(out, `${batch.join('\n')}\n`);
    batch = [];
  }
}

// One package in ten has an advisory, and a version that few of them name.
const installed = { '': { name: 'bench', version: '1.0.0', dependencies: {} } };
const rounds = Math.floor(records / real.length);
for (let number = 0; number < packages; number++) {
  const known = real[number % real.length].affected[0].package.name;
  const name = number % 10 === 0 ? renamed(known, 1 + (number % (rounds - 1))) : `nobody-knows-${number}`;
  installed[''].dependencies[name] = '*';
  installed[`node_modules/${name}`] = {
    version: '99.0.0',
    resolved: `https://registry.example/${name}/-/package-99.0.0.tgz`,
    integrity: 'sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==',
  };
}
const lockfile = { name: 'bench', version: '1.0.0', lockfileVersion: 3, requires: true, packages: installed };
fs.writeFileSync(path.join(folder, 'package-lock.json'), JSON.stringify(lockfile, null, 2));
const manifest = { name: 'bench', version: '1.0.0', dependencies: installed[''].dependencies };
fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest, null, 2));

function renamed(name, round) {
  return round === 0 ? name : `${name}-${round}`;
}
