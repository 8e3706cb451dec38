// The report of the tests: mocha's own, and a last line that names the counts. In CI a skipped test is a failure.
const { Spec } = require('mocha').reporters;

module.exports = class Counts extends Spec {
  epilogue() {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    const skipped = pending > 0 ? `, ${pending} skipped` : '';
    console.log(`\n${passes} passed, ${failures} failed${skipped}`);
    if (pending > 0 && process.env.CI === 'true') {
      console.error('vbackup: a skipped test is a failure in CI');
      process.on('exit', () => {
        process.exitCode ||= 1;
      });
    }
  }
};
