'use strict';
// The other side of the differential tests: the headers of the real helmet, with its options in HELMET_OPTIONS (JSON).

const express = require('express');
const helmet = require('helmet');

const app = express();
app.use(helmet(JSON.parse(process.env.HELMET_OPTIONS || '{}')));
app.get('/', (req, res) => res.type('html').send('<!doctype html><title>helmeted</title>'));
app.listen(process.env.PORT);
