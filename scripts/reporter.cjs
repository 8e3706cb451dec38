// The report of the tests: mocha's own, and a last line that names the counts.
const { Spec } = require('mocha').reporters;

module.exports = class Counts extends Spec {
  epilogue() {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    const skipped = pending > 0 ? `, ${pending} skipped` : '';
    console.log(`\n${passes} passed, ${failures} failed${skipped}`);
  }
};
