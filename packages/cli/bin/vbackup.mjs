#!/usr/bin/env node
// Plain words only: a Node too old for vbackup must be able to read this far.

const NEEDED = '22.22 or a later 22, 24.15 or a later 24, or 26 and later';

function isNewEnough(version) {
  const parts = version.split('.').map(Number);
  const major = parts[0];
  const minor = parts[1];
  if (major === 22) return minor >= 22;
  if (major === 24) return minor >= 15;
  return major >= 26;
}

/**
 * The version alone is told before anything is loaded. False where something else is asked, or where it cannot be written: what is
 * wrong then, the program says.
 */
function toldVersion(args) {
  if (args.length !== 1 || (args[0] !== '--version' && args[0] !== '-V')) return false;
  try {
    // Each import costs as much as all of the rest.
    const { readFileSync, writeSync } = process.getBuiltinModule('node:fs');
    const manifest = JSON.parse(readFileSync(import.meta.dirname + '/../package.json', 'utf8'));
    writeSync(1, 'vbackup ' + manifest.version + '\n');
    return true;
  } catch {
    return false;
  }
}

if (isNewEnough(process.versions.node)) {
  if (!toldVersion(process.argv.slice(2)))
    void import('../dist/run-process.js').then((program) => program.runProcess());
} else {
  process.stderr.write(
    'vbackup: needs Node.js ' + NEEDED + ', and this is ' + process.versions.node + ' [VB_CLI_NODE_VERSION]\n',
  );
  process.exitCode = 1;
}
