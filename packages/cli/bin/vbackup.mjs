#!/usr/bin/env node
// Plain words only: a Node too old for vbackup must be able to read this far.
import process from 'node:process';

const NEEDED = '22.22 or a later 22, 24.15 or a later 24, or 26 and later';

function isNewEnough(version) {
  const parts = version.split('.').map(Number);
  const major = parts[0];
  const minor = parts[1];
  if (major === 22) return minor >= 22;
  if (major === 24) return minor >= 15;
  return major >= 26;
}

if (isNewEnough(process.versions.node)) {
  void import('../dist/run-process.js').then((program) => program.runProcess());
} else {
  process.stderr.write(
    'vbackup: needs Node.js ' + NEEDED + ', and this is ' + process.versions.node + ' [VB_CLI_NODE_VERSION]\n',
  );
  process.exitCode = 1;
}
