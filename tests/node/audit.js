// What npm's own semver says of a lockfile and a file of OSV records, one to a line, to compare `panoply audit` with:
//
//   node audit.js package-lock.json records.jsonl
//
// Each line of the answer is a finding: id, package, version, the nearest version without the hole, and whether every
// range that asks for the package admits the nearest version without all of its holes. Versions are matched as
// `npm audit` matches them; ranges admit what `npm install` would take.
'use strict';
const fs = require('node:fs');
const semver = require('semver');

const audit = { includePrerelease: true, loose: true };
const install = { loose: true };

const [lockfile, records] = process.argv.slice(2);
const { packages } = JSON.parse(fs.readFileSync(lockfile, 'utf8'));

/** Each package's holes: ranges, and where each of them ends. */
const known = new Map();
for (const line of fs.readFileSync(records, 'utf8').split('\n').filter(Boolean)) {
  const record = JSON.parse(line);
  if (record.withdrawn) continue;
  for (const { package: { ecosystem, name }, ranges = [] } of record.affected) {
    if (ecosystem !== 'npm') continue;
    const holes = known.get(name) ?? known.set(name, new Map()).get(name);
    const hole = holes.get(record.id) ?? holes.set(record.id, { ranges: [], ends: [] }).get(record.id);
    for (const { events } of ranges) read(events, hole);
  }
}

/** Pairs of events, as the real records have them: introduced, then where it ends. */
function read(events, { ranges, ends }) {
  let range = '';
  for (const event of events) {
    if ('introduced' in event) {
      if (range) ranges.push(range);
      range = event.introduced === '0' ? '*' : `>=${full(event.introduced)}`;
    } else if ('fixed' in event) {
      ranges.push(`${range} <${full(event.fixed)}`);
      ends.push({ told: event.fixed, example: full(event.fixed) });
      range = '';
    } else if ('last_affected' in event) {
      ranges.push(`${range} <=${full(event.last_affected)}`);
      ends.push({ told: `>${event.last_affected}`, example: after(full(event.last_affected)) });
      range = '';
    }
  }
  if (range) ranges.push(range);
}

/** `1.2` is 1.2.0 where a range ends, not the range of all 1.2.x. */
function full(version) {
  const [numbers, ...rest] = version.split('-');
  const parts = numbers.split('.');
  while (parts.length < 3) parts.push('0');
  return [parts.join('.'), ...rest].join('-');
}

function after(version) {
  const read = semver.parse(version, audit);
  return read.prerelease.length ? `${read.version}.0` : `${read.major}.${read.minor}.${read.patch + 1}`;
}

const affects = (hole, version) => hole.ranges.some((range) => semver.satisfies(version, range, audit));

function nearest(holes, version) {
  const ends = holes
    .flatMap(({ ends }) => ends)
    .filter(({ example }) => semver.gte(example, version, audit))
    .sort((a, b) => semver.compare(a.example, b.example, audit));
  return ends.find(({ example }) => holes.every((hole) => !affects(hole, example)));
}

/** Who asks for what: as Node resolves, from the asker's own folder upwards. */
const asked = new Map();
for (const [place, { dependencies, devDependencies, optionalDependencies, peerDependencies }] of Object.entries(packages)) {
  const wants = { ...peerDependencies, ...dependencies, ...optionalDependencies, ...(place === '' && devDependencies) };
  for (const [name, range] of Object.entries(wants)) {
    const found = resolve(place, name);
    if (found) asked.set(found, [...(asked.get(found) ?? []), range]);
  }
}

function resolve(place, name) {
  for (let from = place; ; from = from.slice(0, Math.max(0, from.lastIndexOf('node_modules/') - 1))) {
    const found = `${from ? `${from}/` : ''}node_modules/${name}`;
    if (packages[found]) return found;
    if (!from) return undefined;
  }
}

/** The same version of the same package, wherever it is. */
const installed = new Map();
for (const [place, entry] of Object.entries(packages)) {
  if (!place || entry.link || !entry.version) continue;
  const name = entry.name ?? place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const key = `${name} ${entry.version}`;
  installed.set(key, [...(installed.get(key) ?? []), place]);
}

const lines = [];
for (const [key, places] of installed) {
  const [name, version] = key.split(' ');
  const affecting = [...(known.get(name) ?? [])].filter(([, hole]) => affects(hole, version));
  const mendable = affecting.map(([, hole]) => hole).filter((hole) => nearest([hole], version));
  const ranges = places.flatMap((place) => asked.get(place) ?? []);
  for (const [id, hole] of affecting) {
    const own = nearest([hole], version);
    const to = own && (nearest(mendable, version) ?? own);
    // What came inside another package changes with that package alone.
    const bundled = places.some((place) => packages[place].inBundle);
    const admitted = to && !bundled && ranges.every((range) => semver.satisfies(to.example, range, install));
    lines.push([id, name, version, own?.told ?? '-', admitted ? 'update' : 'other'].join(' '));
  }
}
console.log(lines.sort().join('\n'));
